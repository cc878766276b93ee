"""How pictures are sent: their formats, and the headers that keep an SVG harmless."""

from typing import Annotated, Any, Literal

from fastapi import Path, Response

PictureFormat = Literal["png", "svg"]
PictureFormatPath = Annotated[
    PictureFormat, Path(description="`png`, or `svg`, which stays sharp at any size.")
]

_MEDIA_TYPES: dict[PictureFormat, str] = {"png": "image/png", "svg": "image/svg+xml"}
# An SVG may hold scripts: opened by itself it must not run any, nor load anything.
_SVG_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox"

PICTURE_CONTENT: dict[str, Any] = {
    "image/png": {"schema": {"type": "string", "format": "binary"}},
    "image/svg+xml": {"schema": {"type": "string"}, "example": "<svg/>"},
}


def send_picture(content: bytes | str, picture_format: PictureFormat) -> Response:
    """Return the reply that shows the picture and does nothing else."""
    headers = {"X-Content-Type-Options": "nosniff"}
    if picture_format == "svg":
        headers["Content-Security-Policy"] = _SVG_POLICY
    return Response(content, media_type=_MEDIA_TYPES[picture_format], headers=headers)
