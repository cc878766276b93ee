"""The pictures in the body of a request: the body itself, files of a form, or base64 in JSON."""

import binascii
from base64 import b64decode
from dataclasses import dataclass, field
from email.message import Message
from typing import TYPE_CHECKING

import orjson
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError

from store.errors import InvalidRequestError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_RAW_TYPES = ("", "application/octet-stream")
_MOST_PARTS = 10_000


@dataclass(slots=True)
class Upload:
    """One picture as it was sent; the name it had in the form, where it had one."""

    data: bytes | InvalidRequestError
    filename: str | None = None


def read_uploads(body: bytes, content_type: str, most_images: int) -> list[Upload]:
    """Return the pictures in a body, at least one and at most `most_images`.

    Raises InvalidRequestError: `unsupported_media_type`, `malformed_body`, `invalid_request`,
    `too_many_images`.
    """
    if content_type.startswith("image/") or content_type in _RAW_TYPES:
        return [Upload(body)]
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json":
        return _read_json(body, most_images)
    if kind == "multipart/form-data":
        return _read_form(body, content_type, most_images)
    if kind.startswith("image/") or kind in _RAW_TYPES:
        return [Upload(body)]
    raise InvalidRequestError(
        f"A body of type {kind!r} is not accepted: send the image itself with the header "
        "Content-Type: image/png (image/jpeg, image/webp), or a form (multipart/form-data) with "
        'one or many files, or application/json with {"images": ["<base64>", …]}.',
        code="unsupported_media_type",
    )


def _read_json(body: bytes, most_images: int) -> list[Upload]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(
            f"The body is not JSON ({error}): send one JSON document.", code="malformed_body"
        ) from error
    images = content.get("images") if isinstance(content, dict) else None
    if not isinstance(images, list) or not images:
        raise InvalidRequestError(
            'The body has no list "images": send {"images": ["<base64 of one file>", …]}.'
        )
    if len(images) > most_images:
        raise _refuse_number(most_images)
    return [Upload(_decode_base64(image)) for image in images]


def _refuse_number(most_images: int) -> InvalidRequestError:
    return InvalidRequestError(
        f"A request has at most {most_images:,} images: send them in several requests.",
        code="too_many_images",
    )


def _decode_base64(text: object) -> bytes | InvalidRequestError:
    try:
        if isinstance(text, str):
            return b64decode(text, validate=True)
        reason = "it is no string"
    except (binascii.Error, ValueError) as error:
        reason = str(error)
    return InvalidRequestError(
        f"the image is not base64 ({reason}): send the file's bytes in standard base64",
        code="damaged_image",
    )


def _read_form(body: bytes, content_type: str, most_images: int) -> list[Upload]:
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_boundary()
    if not boundary:
        raise InvalidRequestError(
            "The form's Content-Type has no boundary: let the client library set the header.",
            code="malformed_body",
        )
    form = _FormReader(body, most_images)
    try:
        parser = MultipartParser(boundary.encode("latin-1"), form.callbacks())
        parser.write(body)
        parser.finalize()
    except (FormParserError, UnicodeError) as error:
        raise InvalidRequestError(
            f"The form cannot be read ({error}): send well-formed multipart/form-data.",
            code="malformed_body",
        ) from error
    if not form.is_complete:
        raise InvalidRequestError(
            "The form is cut off: its last boundary is missing. Send it whole.",
            code="malformed_body",
        )
    if not form.uploads:
        raise InvalidRequestError(
            "The form has no file: add at least one, as curl -F file=@picture.png does."
        )
    return form.uploads


@dataclass
class _FormReader:
    """Collects the file parts of a form. Parts without a file name are not pictures."""

    body: bytes
    most_images: int
    uploads: list[Upload] = field(default_factory=list)
    is_complete: bool = False
    _chunks: list[bytes] = field(default_factory=list)
    _header_field: bytes = b""
    _header_value: bytes = b""
    _disposition: bytes = b""
    _parts: int = 0

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin_part,
            "on_part_data": self._add_data,
            "on_part_end": self._end_part,
            "on_header_field": self._add_header_field,
            "on_header_value": self._add_header_value,
            "on_header_end": self._end_header,
            "on_end": self._end,
        }

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise FormParserError(f"more than {_MOST_PARTS} parts")
        self._chunks, self._disposition = [], b""

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self._chunks.append(data[start:end])

    def _end_part(self) -> None:
        message = Message()
        message["Content-Disposition"] = self._disposition.decode("utf-8", "replace")
        filename = message.get_filename()
        if filename is not None:
            if len(self.uploads) == self.most_images:
                raise _refuse_number(self.most_images)
            self.uploads.append(Upload(b"".join(self._chunks), filename))

    def _add_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_field += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        if self._header_field.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_field = self._header_value = b""

    def _end(self) -> None:
        self.is_complete = True
