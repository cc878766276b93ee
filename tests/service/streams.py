"""Reads server-sent events as they are on the line."""

from collections.abc import Iterator

import httpx

STREAM = {"Accept": "text/event-stream"}


def read_stream(reply: httpx.Response) -> Iterator[dict[str, str]]:
    """Yield the fields of each server-sent event; comments are skipped."""
    fields: dict[str, str] = {}
    for line in reply.iter_lines():
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield fields
            fields = {}
