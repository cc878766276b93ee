"""Decides for each request whether it may go on: its key, the key's scopes, its rate, its page."""

import math

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.bare_requests import find_header
from service.browser_guard import BrowserGuard
from service.errors import answer, build_problem
from service.key_ring import HeldKey, KeyRefusedError, KeyRing
from service.scopes import OPEN, RouteScopes, Scopes
from store.errors import DatabaseError
from store.keys import Scope as ScopeName
from store.settings import Settings

_SCHEME = "bearer"
_REALM = 'Bearer realm="tenfold"'


class AccessMiddleware:
    """Answers what may not go on."""

    def __init__(self, app: ASGIApp, settings: Settings, routes: RouteScopes) -> None:
        self._app = app
        self._is_open = settings.open
        self._guard = BrowserGuard(settings.allowed_hosts, settings.cors_origins)
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            refusal = await self._judge(scope)
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _judge(self, scope: Scope) -> Response | None:
        """Return the answer to a request that may not go on."""
        needed = self._routes.find(scope)
        if needed is OPEN:
            return None
        ring: KeyRing = scope["app"].state.context.key_ring
        try:
            needs_key = not self._is_open and ring.needs_keys
        except DatabaseError as error:
            return answer(Request(scope), error)
        if needs_key:
            return await self._judge_key(scope, ring, needed)
        return self._judge_page(scope)

    async def _judge_key(
        self, scope: Scope, ring: KeyRing, needed: Scopes | None
    ) -> Response | None:
        path = scope["path"]
        header = find_header(scope, b"authorization")
        if header is None:
            return _refuse_key("key_missing", "Send `Authorization: Bearer <API key>`.", path)
        scheme, _, text = header.partition(" ")
        if scheme.lower() != _SCHEME:
            return _refuse_key(
                "key_invalid", "Write it as `Authorization: Bearer <API key>`.", path
            )
        try:
            key = await ring.identify(text.strip())
        except KeyRefusedError as error:
            return _refuse_key("key_invalid", str(error), path)
        wait_seconds = ring.count_request(key)
        if wait_seconds:
            return _slow_down(wait_seconds, path)
        if needed is not None and not key.scopes & needed:
            return _refuse_scope(key, needed, path)
        scope.setdefault("state", {})["api_key_id"] = key.id
        return None

    def _judge_page(self, scope: Scope) -> Response | None:
        host = find_header(scope, b"host") or ""
        origin = find_header(scope, b"origin")
        if not self._guard.accepts_host(host):
            return build_problem(
                "host_not_allowed",
                f"The service does not answer to the name {host[:100]!r}: use its address, or add "
                "the name to TENFOLD_ALLOWED_HOSTS.",
                path=scope["path"],
            )
        if not self._guard.accepts_origin(scope["method"], origin, host):
            return build_problem(
                "origin_not_allowed",
                f"A page of {(origin or '')[:100]!r} may change nothing here: add its origin to "
                "TENFOLD_CORS_ORIGINS if it is yours.",
                path=scope["path"],
            )
        return None


def _refuse_key(code: str, detail: str, path: str) -> Response:
    error = ', error="invalid_token"' if code == "key_invalid" else ""
    return build_problem(code, detail, headers={"WWW-Authenticate": _REALM + error}, path=path)


def _refuse_scope(key: HeldKey, needed: Scopes, path: str) -> Response:
    names = [scope for scope in ScopeName if scope in needed]
    return build_problem(
        "scope_missing",
        f"This needs a key with the scope {' or '.join(names)}; "
        f"yours has {', '.join(sorted(key.scopes))}.",
        headers={
            "WWW-Authenticate": f'{_REALM}, error="insufficient_scope", scope="{" ".join(names)}"'
        },
        path=path,
    )


def _slow_down(wait_seconds: float, path: str) -> Response:
    seconds = math.ceil(wait_seconds)
    return build_problem(
        "too_many_requests",
        f"This key has sent more requests than it may: try again in {seconds} s.",
        headers={"Retry-After": str(seconds)},
        path=path,
    )
