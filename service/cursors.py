"""Opaque cursors: a place in one list, which clients hand back as they got it."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Annotated

from fastapi import Query

from store.errors import InvalidRequestError

# RFC 8259: beyond it JSON readers that compute with doubles disagree on a number.
LARGEST_INTEGER = 2**53 - 1

CursorQuery = Annotated[
    str | None,
    Query(max_length=500, description="`next_cursor` of the page before; none for the first page."),
]


def encode(kind: str, *position: int | str) -> str:
    """Return a cursor of the list `kind`."""
    text = json.dumps([kind, *position], separators=(",", ":"))
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_numbers(kind: str, cursor: str, count: int) -> list[int]:
    """Return the `count` whole numbers in a cursor. Raises InvalidRequestError."""
    position = _decode(kind, cursor)
    if len(position) != count or not all(
        type(value) is int and 0 <= value <= LARGEST_INTEGER for value in position
    ):
        raise _invalid(kind)
    return [int(value) for value in position]


def decode_name(kind: str, cursor: str) -> str:
    """Return the name in a cursor. Raises InvalidRequestError."""
    position = _decode(kind, cursor)
    if len(position) != 1 or not isinstance(position[0], str):
        raise _invalid(kind)
    return position[0]


def _decode(kind: str, cursor: str) -> Sequence[int | str]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        decoded: list[int | str] = json.loads(urlsafe_b64decode(padded.encode("ascii")))
        of_kind, *position = decoded
    except (ValueError, TypeError, RecursionError) as error:
        raise _invalid(kind) from error
    if of_kind != kind:
        raise _invalid(kind)
    return position


def _invalid(kind: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"This is no cursor of the list of {kind}: use the `next_cursor` of an earlier reply as "
        "it is, or leave it out to start at the beginning.",
        code="invalid_cursor",
    )
