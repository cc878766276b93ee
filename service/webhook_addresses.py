"""Where a webhook may go: to addresses of the internet, checked after the name is resolved."""

import asyncio
import ipaddress
import socket

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# For protocols between routers; clouds have put their metadata service there.
_PROTOCOLS = ipaddress.IPv4Network("192.0.0.0/24")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")


class AddressError(Exception):
    """The webhook's host has no address that it may be sent to."""


async def resolve(host: str, port: int, *, allow_private: bool) -> list[str]:
    """Return the host's addresses, in the order in which to try them.

    Raises AddressError where the name is not known, or any of its addresses is private: a name
    with a public and a private address is an attempt to get past this check.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise AddressError(f"The webhook's host {host} cannot be resolved: {error}.") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not addresses:
        raise AddressError(f"The webhook's host {host} has no address.")
    if allow_private:
        return addresses
    for address in addresses:
        if not is_public(address):
            raise AddressError(
                f"The webhook's host {host} has the private address {address}, so nothing was "
                "sent: set TENFOLD_WEBHOOK_ALLOW_PRIVATE=true if that is meant."
            )
    return addresses


def is_public(address: str) -> bool:
    """Whether the address is one machine of the internet, also when written as an IPv6 address."""
    try:
        parsed = _unwrap(ipaddress.ip_address(address))
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed not in _GLOBAL_UNICAST:
        return False
    return parsed.is_global and not parsed.is_multicast and parsed not in _PROTOCOLS


def _unwrap(
    address: Address,
) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, where it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour or address
