"""`/docs`: the OpenAPI document to read and to try, with its scripts from this machine."""

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

router = APIRouter(include_in_schema=False)

# The files of Swagger UI by the address below /docs; no other can be asked for.
_SCRIPT, _STYLE, _ICON = "swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"


@router.get("/docs")
async def show_documentation(request: Request) -> HTMLResponse:
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=request.app.title,
        swagger_js_url=f"/docs/{_SCRIPT}",
        swagger_css_url=f"/docs/{_STYLE}",
        swagger_favicon_url=f"/docs/{_ICON}",
    )
    page.headers["Content-Security-Policy"] = _build_policy(bytes(page.body))
    return page


@router.get(f"/docs/{_SCRIPT}")
def get_documentation_script() -> Response:
    return _send(_SCRIPT, "text/javascript")


@router.get(f"/docs/{_STYLE}")
def get_documentation_style() -> Response:
    return _send(_STYLE, "text/css")


@router.get(f"/docs/{_ICON}")
def get_documentation_icon() -> Response:
    return _send(_ICON, "image/png")


@cache
def _build_policy(page: bytes) -> str:
    """Return a policy that allows the page's own script by its hash, and no other that is inline.

    Swagger UI draws with inline styles and pictures in `data:` addresses.
    """
    inline = re.findall(rb"<script>(.*?)</script>", page, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(text).digest()).decode() for text in inline]
    scripts = " ".join(["'self'", *(f"'sha256-{digest}'" for digest in hashes)])
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


def _send(name: str, media_type: str) -> Response:
    # Read before the status is sent, so that a failure has its own.
    content = files("fastapi_swagger.resources").joinpath(name).read_bytes()
    return Response(content, media_type=media_type)
