"""Requests and replies of the Open Inference Protocol v2: JSON, with tensors inside or behind it.

Protocol: https://github.com/kserve/open-inference-protocol, and Triton's extension for binary
tensors: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

import binascii
import struct
import zlib
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import orjson
from pydantic import BaseModel, Field, ValidationError

from service.predictor import InputShape, Item
from store.errors import InvalidRequestError

INPUT_NAME = "images"
_LENGTH_BYTES = 4
_IMAGE_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF")


class InputTensor(BaseModel):
    name: str
    shape: list[int] = Field(max_length=8)
    datatype: str
    parameters: dict[str, Any] = {}
    data: list[Any] | None = None


class RequestedOutput(BaseModel):
    name: str
    parameters: dict[str, Any] = {}


class InferRequest(BaseModel):
    id: str | None = None
    parameters: dict[str, Any] = {}
    inputs: list[InputTensor]
    outputs: list[RequestedOutput] | None = None


@dataclass(frozen=True)
class OutputTensor:
    """One output: numbers, or the elements of a BYTES tensor."""

    name: str
    datatype: str
    shape: list[int]
    values: np.ndarray[Any, Any] | list[bytes]
    is_binary: bool


def inflate(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    """Return the body without its Content-Encoding. Raises InvalidRequestError."""
    if encoding in {"", "identity"}:
        return body
    if encoding not in {"gzip", "deflate"}:
        raise InvalidRequestError(
            f"Content-Encoding {encoding!r} is not known: use gzip, deflate or none."
        )
    # 32 makes zlib find out by itself whether it is gzip or zlib ("deflate").
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        content = inflater.decompress(body, limit_bytes)
    except zlib.error as error:
        raise InvalidRequestError(f"The body is no valid {encoding} ({error}).") from error
    if inflater.unconsumed_tail:
        raise InvalidRequestError(
            f"The body has more than {limit_bytes:,} bytes when it is unpacked: send less at once.",
            code="body_too_large",
        )
    if not inflater.eof:
        raise InvalidRequestError(f"The {encoding} body is cut off: send it whole.")
    return content


def read_request(body: bytes, header_length: str | None) -> tuple[InferRequest, bytes]:
    """Return the JSON of a request and the binary tensors behind it.

    `header_length` is the header Inference-Header-Content-Length. Raises InvalidRequestError.
    """
    if header_length is None:
        length = len(body)
    elif header_length.isdecimal() and len(header_length) < 16 and int(header_length) <= len(body):  # noqa: PLR2004
        length = int(header_length)
    else:
        raise InvalidRequestError(
            f"Inference-Header-Content-Length is {header_length[:20]!r}: it must be the number of "
            f"bytes of the JSON at the start of the body, which has {len(body)} bytes."
        )
    if header_length is not None and length == 0:
        return _describe_raw(body), body
    try:
        request = InferRequest.model_validate(orjson.loads(body[:length]))
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(f"The request is not JSON: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "request"
        raise InvalidRequestError(f"{where}: {first['msg']}") from error
    return request, body[length:]


def _describe_raw(body: bytes) -> InferRequest:
    """Return the request that a body of nothing but the one input stands for."""
    is_picture = body.startswith(_IMAGE_STARTS)
    data = InputTensor(
        name=INPUT_NAME,
        shape=[1] if is_picture else [],
        datatype="BYTES" if is_picture else "UINT8",
        parameters={"binary_data_size": len(body), "is_raw": True},
    )
    return InferRequest(inputs=[data])


def read_items(request: InferRequest, binary: bytes, shape: InputShape) -> list[Item]:
    """Return the pictures of a request: fitted pixels, or encoded files.

    Raises InvalidRequestError where they are not what the model's metadata says.
    """
    if [tensor.name for tensor in request.inputs] != [INPUT_NAME]:
        raise InvalidRequestError(
            f"The model has exactly one input, {INPUT_NAME!r}: send that one and no other."
        )
    (tensor,) = request.inputs
    content = _take_binary(tensor, binary)
    if tensor.datatype == "BYTES":
        items = _read_files(tensor, content)
    elif tensor.datatype == "UINT8":
        items = _read_pixels(tensor, content, shape)
    else:
        raise InvalidRequestError(
            f"The datatype {tensor.datatype!r} is not accepted: send UINT8 pixels, or BYTES that "
            "are PNG, JPEG or WebP files."
        )
    if not items:
        raise InvalidRequestError("The input holds no picture: send at least one.")
    return items


def _take_binary(tensor: InputTensor, binary: bytes) -> bytes | None:
    size = tensor.parameters.get("binary_data_size")
    if size is None:
        if tensor.data is None:
            raise InvalidRequestError(
                f"The input {tensor.name!r} has neither data nor binary_data_size: send one."
            )
        return None
    if size != len(binary):
        raise InvalidRequestError(
            f"binary_data_size is {size!r}, but {len(binary)} bytes follow the JSON: send as many."
        )
    return binary


def _read_pixels(tensor: InputTensor, content: bytes | None, shape: InputShape) -> list[Item]:
    of_one = [shape.height, shape.width, shape.channels]
    size = shape.height * shape.width * shape.channels
    if tensor.parameters.get("is_raw") and content is not None and len(content) % size == 0:
        tensor.shape = [len(content) // size, *of_one]
    if len(tensor.shape) != 4 or tensor.shape[1:] != of_one or tensor.shape[0] < 0:  # noqa: PLR2004
        raise InvalidRequestError(
            f"The input has the shape {tensor.shape}: the model takes [N, "
            f"{', '.join(map(str, of_one))}]."
        )
    try:
        pixels = (
            np.array(_flatten(tensor.data or []), dtype=np.uint8)
            if content is None
            else np.frombuffer(content, dtype=np.uint8)
        )
        return list(pixels.reshape(tensor.shape))
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidRequestError(
            f"The data are not {tensor.shape[0] * size} numbers from 0 to 255, as the shape says."
        ) from error


def _flatten(data: Sequence[Any]) -> list[Any]:
    """Return nested lists, which the protocol allows, as one."""
    flat = list(data)
    while flat and isinstance(flat[0], list):
        flat = list(chain.from_iterable(flat))
    return flat


def _read_files(tensor: InputTensor, content: bytes | None) -> list[Item]:
    if tensor.parameters.get("is_raw") and content is not None:
        return [content]
    files = _split_elements(content) if content is not None else _decode_strings(tensor.data or [])
    expected = int(np.prod(tensor.shape, dtype=object)) if tensor.shape else 1
    if len(files) != expected:
        raise InvalidRequestError(
            f"The shape {tensor.shape} means {expected} elements, and the data hold {len(files)}."
        )
    return list(files)


def _split_elements(content: bytes) -> list[bytes]:
    """Split a binary BYTES tensor, whose elements each follow their own length."""
    elements = []
    start = 0
    while start < len(content):
        stop = start + _LENGTH_BYTES
        length = int.from_bytes(content[start:stop], "little")
        if stop > len(content) or stop + length > len(content):
            raise InvalidRequestError(
                "The BYTES tensor is cut off: each element must follow its length, 4 bytes, "
                "little-endian."
            )
        elements.append(content[stop : stop + length])
        start = stop + length
    return elements


def _decode_strings(data: Sequence[Any]) -> list[bytes]:
    try:
        return [b64decode(text, validate=True) for text in _flatten(data)]
    except (binascii.Error, ValueError, TypeError) as error:
        raise InvalidRequestError(
            "BYTES in JSON must be base64 strings, because JSON cannot carry a picture's bytes: "
            "send base64, or a binary tensor."
        ) from error


def write_reply(head: dict[str, Any], outputs: Sequence[OutputTensor]) -> tuple[bytes, int | None]:
    """Return the body of a reply, and the length of its JSON where binary tensors follow it."""
    described: list[dict[str, Any]] = []
    buffers: list[bytes] = []
    for output in outputs:
        entry: dict[str, Any] = {
            "name": output.name,
            "datatype": output.datatype,
            "shape": output.shape,
        }
        if output.is_binary:
            buffers.append(_serialize(output))
            entry["parameters"] = {"binary_data_size": len(buffers[-1])}
        else:
            entry["data"] = _list_values(output)
        described.append(entry)
    content = orjson.dumps({**head, "outputs": described})
    return b"".join([content, *buffers]), len(content) if buffers else None


def _serialize(output: OutputTensor) -> bytes:
    if isinstance(output.values, list):
        return b"".join(struct.pack("<I", len(value)) + value for value in output.values)
    return output.values.astype(output.values.dtype.newbyteorder("<")).tobytes()


def _list_values(output: OutputTensor) -> list[Any]:
    if isinstance(output.values, list):
        return [value.decode() for value in output.values]
    flat: list[Any] = output.values.ravel().tolist()
    return flat
