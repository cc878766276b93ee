"""Pictures to classify: found in folders, read from files, put into requests of bearable size."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from client import calls
from client.errors import ProblemError, UnexpectedReplyError
from client.flows import Flow, Item, Items, ask
from client.schemas import ClassifiedPicture, Explanation, ImageError, Prediction, PredictReply

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
# Small enough that other clients get their turn, large enough that the network dominates.
PICTURES_PER_REQUEST = 32
BYTES_PER_REQUEST = 8 << 20
# The service answers these for the picture itself; any other problem concerns them all.
_PICTURE_CODES = frozenset(
    {"not_an_image", "image_too_large", "damaged_image", "body_too_large", "malformed_body"}
)


@dataclass(frozen=True)
class NamedPicture:
    """The bytes of a picture, and the name that its result is to have."""

    name: str
    data: bytes


# A file, or the bytes of one.
Picture: TypeAlias = str | PathLike[str] | bytes | NamedPicture


def find_pictures(path: Path) -> list[Path]:
    """Return the file, or the PNG, JPEG and WebP files of a folder and its folders, sorted.

    Raises FileNotFoundError where there is nothing.
    """
    if not path.is_dir():
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist.")
        return [path]
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not found:
        raise FileNotFoundError(f"{path} holds no picture ({', '.join(sorted(SUFFIXES))}).")
    return found


def predict_one(picture: Picture, model: str | None, top_k: int | None) -> Flow[Prediction]:
    """Classify one picture. Raises InvalidRequestError where it is none, OSError on a bad file."""
    reply = yield from ask(calls.predict_one(_read(picture), model, top_k))
    (result,) = reply.predictions
    return Prediction.model_validate(result)


def explain(picture: Picture, model: str | None, class_name: str | None) -> Flow[Explanation]:
    """Show what spoke for a class. Raises as `predict_one`."""
    return ask(calls.explain_prediction(_read(picture), model, class_name))


def _read(picture: Picture) -> bytes:
    if isinstance(picture, NamedPicture):
        return picture.data
    return picture if isinstance(picture, bytes) else Path(picture).read_bytes()


def predict_many(
    pictures: Picture | Iterable[Picture], model: str | None, top_k: int | None
) -> Items[ClassifiedPicture]:
    """Classify pictures and folders of pictures; one that cannot be read has an `error`."""
    if isinstance(pictures, (str, PathLike, bytes, NamedPicture)):
        pictures = [pictures]
    for chunk in _split(_read_sources(pictures)):
        yield from _predict_chunk(chunk, model, top_k)


def _read_sources(pictures: Iterable[Picture]) -> Iterator[NamedPicture]:
    for number, picture in enumerate(pictures):
        if isinstance(picture, NamedPicture):
            yield picture
        elif isinstance(picture, bytes):
            yield NamedPicture(str(number), picture)
        else:
            for path in find_pictures(Path(picture)):
                yield NamedPicture(str(path), path.read_bytes())


def _split(sources: Iterable[NamedPicture]) -> Iterator[list[NamedPicture]]:
    """Yield as many at a time as go into one request; a large picture goes alone."""
    chunk: list[NamedPicture] = []
    size_bytes = 0
    for source in sources:
        is_full = len(chunk) == PICTURES_PER_REQUEST
        if chunk and (is_full or size_bytes + len(source.data) > BYTES_PER_REQUEST):
            yield chunk
            chunk, size_bytes = [], 0
        chunk.append(source)
        size_bytes += len(source.data)
    if chunk:
        yield chunk


def _predict_chunk(
    chunk: list[NamedPicture], model: str | None, top_k: int | None
) -> Items[ClassifiedPicture]:
    try:
        if len(chunk) == 1:
            reply = yield from ask(calls.predict_one(chunk[0].data, model, top_k))
        else:
            data = [source.data for source in chunk]
            reply = yield from ask(calls.predict_many(data, model, top_k))
    except ProblemError as problem:
        if len(chunk) > 1 or problem.code not in _PICTURE_CODES:
            raise
        error = ImageError(code=problem.code, message=problem.detail)
        yield Item(
            ClassifiedPicture(
                source=chunk[0].name, model=None, version=None, prediction=None, error=error
            )
        )
        return
    if len(reply.predictions) != len(chunk):
        raise UnexpectedReplyError(
            f"{len(chunk)} pictures were sent and {len(reply.predictions)} predictions came back."
        )
    for source, result in zip(chunk, reply.predictions, strict=True):
        yield Item(_describe(source, reply, result))


def _describe(
    source: NamedPicture, reply: PredictReply, result: dict[str, Any]
) -> ClassifiedPicture:
    error = result.get("error")
    return ClassifiedPicture(
        source=source.name,
        model=reply.model,
        version=reply.version,
        prediction=None if error else Prediction.model_validate(result),
        error=ImageError.model_validate(error) if error else None,
    )
