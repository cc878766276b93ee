"""A short cut to the busiest addresses, past routing and FastAPI's own layers.

Those take longer than a small network needs for a picture: `docs/performance.md` has the figures.
The same functions are also ordinary routes, which is where their documentation comes from.
"""

from collections.abc import Awaitable, Callable, Mapping

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from service import errors
from store.errors import TenfoldError

Handler = Callable[[Request], Awaitable[Response]]


class DirectRoute(APIRoute):
    """A documented route whose function takes the request and returns the response, no more."""

    def get_route_handler(self) -> Handler:  # type: ignore[override]
        handler: Handler = self.endpoint
        return handler


class DirectRoutesMiddleware:
    """Calls the handler of a (method, path) at once; everything else goes the usual way."""

    def __init__(self, app: ASGIApp, handlers: Mapping[tuple[str, str], Handler]) -> None:
        self._app = app
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = None
        if scope["type"] == "http":
            handler = self._handlers.get((scope["method"], scope["path"]))
        if handler is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive, send)
        try:
            response = await handler(request)
        except (TenfoldError, HTTPException) as error:
            response = errors.answer(request, error)
        except ClientDisconnect:
            return
        await response(scope, receive, send)
