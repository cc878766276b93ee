"""Keeps foreign web pages away from a service that asks for no key.

A browser on this machine reaches the service as its user does, so any page in it could ask too:
with a form, or under a name of its own that resolves to this machine (DNS rebinding). Where keys
are needed a page has none to send, and nothing of this applies.
"""

import ipaddress
from collections.abc import Collection
from functools import lru_cache
from urllib.parse import urlsplit

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class BrowserGuard:
    """Knows which names are this service's, and which pages may change something."""

    def __init__(self, allowed_hosts: Collection[str], allowed_origins: Collection[str]) -> None:
        self._allowed_hosts = frozenset(name.lower() for name in allowed_hosts)
        self._allowed_origins = frozenset(allowed_origins)

    def accepts_host(self, host: str) -> bool:
        """Tell whether `host`, of the header Host, is an address or a name of this service.

        Nobody can make an address, or a name without a dot, resolve to another machine's service.
        """
        name = _split_host(host)
        if not name or "." not in name or name in self._allowed_hosts:
            return True
        return name.endswith(".localhost") or _is_address(name)

    def accepts_origin(self, method: str, origin: str | None, host: str) -> bool:
        """Tell whether the page of `origin` may send this request to `host`."""
        if origin is None or method in _SAFE_METHODS or origin in self._allowed_origins:
            return True
        return urlsplit(origin).netloc.lower() == host.lower()


def _split_host(host: str) -> str:
    """Return a Host header without its port, and an IPv6 address without brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower().rstrip(".")


# To read an address takes longer than all other checks of a request.
@lru_cache(maxsize=256)
def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
