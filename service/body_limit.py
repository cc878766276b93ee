"""Refuses bodies that are too large, whether they announce their length or come in chunks."""

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.bare_requests import find_header
from service.errors import build_problem


class BodyLimitMiddleware:
    """Lets at most `limit_bytes` through; addresses in `limits_bytes` have limits of their own.

    FastAPI's `max_body_size` answers with plain text, and a client would have to know two kinds
    of errors.
    """

    def __init__(self, app: ASGIApp, limit_bytes: int, limits_bytes: Mapping[str, int]) -> None:
        self._app = app
        self._limit_bytes = limit_bytes
        self._limits_bytes = limits_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._find_limit(scope["path"])
        announced = find_header(scope, b"content-length") or "0"
        if announced.isdecimal() and int(announced) > limit:
            # Not a byte is read: a client that waits for `100 Continue` sends none.
            response = build_problem("body_too_large", _explain(limit), path=scope["path"])
            await response(scope, receive, send)
            return
        await self._app(scope, _count(receive, limit), send)

    def _find_limit(self, path: str) -> int:
        first_segment = "/" + path.split("/", 2)[1] if path.startswith("/") else path
        return self._limits_bytes.get(first_segment, self._limit_bytes)


def _count(receive: Receive, limit: int) -> Receive:
    received = 0

    async def receive_counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise HTTPException(413, _explain(limit))
        return message

    return receive_counted


def _explain(limit: int) -> str:
    return f"The body is larger than the {limit:,} bytes that this address accepts: send less."
