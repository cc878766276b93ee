"""What the busiest requests are asked for, without the objects that Starlette makes for it."""

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope


def find_header(scope: Scope, name: bytes) -> str | None:
    """Return the first header of that name, which is in lower case."""
    for key, value in scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return None


async def read_body(receive: Receive) -> bytes:
    """Return the body of a request of which nothing has been read. Raises ClientDisconnect."""
    chunks: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)
