"""Serves the dashboard's page and its scripts, styles and pictures."""

from collections.abc import Mapping
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

_STATIC_FOLDER = Path(__file__).parent / "static"

# Nothing inline and nothing from elsewhere: a picture, a class name or an error message that
# carries markup stays text. `blob:` is for pictures that the user dropped, pasted or took.
_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' blob:",
    "media-src": "'self' blob:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
}
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in _POLICY.items()),
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    # Asked again each time (304 as a rule), so that page and scripts are always of one version.
    "Cache-Control": "no-cache",
}


class _DashboardFiles(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        if isinstance(response, FileResponse):
            # A file that cannot be read must be known before the status is sent; all are small.
            content = await run_in_threadpool(Path(response.path).read_bytes)
            response = Response(content, response.status_code, response.headers)
        response.headers.update(HEADERS)
        return response


_files = _DashboardFiles(directory=_STATIC_FOLDER)


def add_to(app: FastAPI) -> None:
    """Serve the page at `/` and its files below `/dashboard`."""
    app.add_api_route("/", show_page, methods=["GET", "HEAD"], include_in_schema=False)
    app.mount("/dashboard", _files, name="dashboard")


async def show_page(request: Request) -> Response:
    return await _files.get_response("index.html", request.scope)
