"""A short cut to the busiest addresses, past routing and FastAPI's own layers.

Those take longer than a small network needs for a picture: `docs/performance.md` has the figures.
The same functions are also ordinary routes, which is where their documentation comes from.
"""

from collections.abc import Awaitable, Callable, Sequence

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute
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
    """Calls the functions of `routes`, whose paths are fixed; all else goes the usual way."""

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._routes = {
            (method, route.path): route
            for route in routes
            if isinstance(route, DirectRoute)
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = None
        if scope["type"] == "http":
            route = self._routes.get((scope["method"], scope["path"]))
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = route
        request = Request(scope, receive, send)
        try:
            response = await route.endpoint(request)
        except (TenfoldError, HTTPException, OSError) as error:
            response = errors.answer(request, error)
            # It knows the calls, one of which may know it: both would keep the body until the
            # garbage collector comes by.
            error.__traceback__ = None
        except ClientDisconnect:
            return
        await response(scope, receive, send)
