"""`POST /predict`: pictures in, classes out.

The busiest route of the service, so it is called with the bare request: FastAPI would spend more
time on finding out what the function wants than the network on the picture. What FastAPI cannot
see is written into the OpenAPI document by hand.
"""

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import orjson
from fastapi import APIRouter, Request, Response

from service.bare_requests import find_header, read_body
from service.context import Context
from service.direct_routes import DirectRoute
from service.disconnects import await_connected
from service.model_cache import LoadedModel
from service.openapi import COMMON_PROBLEMS, problem_responses
from service.predict_schemas import PREDICT_DOCUMENTATION, PredictReply
from service.predictor import Prediction
from service.uploads import Upload, read_uploads
from store.errors import InvalidRequestError, TenfoldError

DEFAULT_TOP_K = 3
# A longer form or JSON takes more than a millisecond to take apart: that is a thread's work.
_LONG_BODY_BYTES = 1 << 18

router = APIRouter(tags=["predictions"], route_class=DirectRoute)


class Options(NamedTuple):
    """The query of a prediction."""

    model: str | None
    top_k: int


@router.post(
    "/predict",
    response_model=PredictReply,
    openapi_extra=PREDICT_DOCUMENTATION,
    responses=problem_responses(
        "malformed_body",
        "model_not_found",
        "no_model",
        "body_too_large",
        "too_many_images",
        "image_too_large",
        "not_an_image",
        "unsupported_media_type",
        "damaged_image",
        "overloaded",
        "deadline_exceeded",
        *COMMON_PROBLEMS,
    ),
)
async def predict(request: Request) -> Response:
    """Classify one picture or many.

    PNG, JPEG and WebP of any size and mode are accepted. A picture of another size than the
    model's is resized until its shorter side fits, and cropped around its centre.

    Send one picture as the body, one or many as files of a form, or a list of base64 strings in
    JSON. A request with a single picture fails when that picture cannot be read; with several,
    each has its own prediction or its own `error`, in the order they were sent.
    """
    context: Context = request.app.state.context
    options = read_options(request.scope["query_string"])
    uploads = await receive_uploads(request)
    model = await context.loaded_models.find(options.model)
    images = [upload.data for upload in uploads]
    prediction = model.predict(images, context.settings.predict_deadline_seconds)
    outcomes = await await_connected(request, prediction)
    if len(outcomes) == 1 and isinstance(outcomes[0], Exception):
        raise _name_upload(outcomes[0], uploads[0])
    return Response(render(model, uploads, outcomes, options), media_type="application/json")


async def receive_uploads(request: Request) -> list[Upload]:
    """Return the pictures in the body of a request. Raises what `read_uploads` raises."""
    context: Context = request.app.state.context
    most_images = context.settings.limit_request_images
    body = await read_body(request.receive)
    content_type = find_header(request.scope, b"content-type") or ""
    if len(body) > _LONG_BODY_BYTES and not content_type.startswith("image/"):
        return await asyncio.to_thread(read_uploads, body, content_type, most_images)
    return read_uploads(body, content_type, most_images)


@lru_cache(maxsize=256)
def read_options(query_string: bytes) -> Options:
    """Return the options in a query. Raises InvalidRequestError."""
    query = parse_qs(query_string.decode("latin-1"), keep_blank_values=True)
    model = query.get("model", [None])[-1] or None
    text = query.get("top_k", [str(DEFAULT_TOP_K)])[-1]
    if not text.isdecimal() or len(text) > 6 or int(text) < 1:  # noqa: PLR2004
        raise InvalidRequestError(
            f"top_k is {text[:20]!r}: it must be a whole number from 1 to 999999."
        )
    return Options(model, int(text))


def render(
    model: LoadedModel,
    uploads: Sequence[Upload],
    outcomes: Sequence[Prediction | Exception],
    options: Options,
) -> bytes:
    """Return the JSON of a `PredictReply`."""
    classes = model.predictor.classes
    return orjson.dumps(
        {
            "model": model.key.name,
            "version": model.key.version,
            "predictions": [
                _describe_failure(upload, outcome)
                if isinstance(outcome, Exception)
                else _describe(classes, upload, outcome, options.top_k)
                for upload, outcome in zip(uploads, outcomes, strict=True)
            ],
        }
    )


def _describe(
    classes: Sequence[str], upload: Upload, prediction: Prediction, top_k: int
) -> dict[str, Any]:
    probabilities, ranking = prediction.probabilities, prediction.ranking
    best = ranking[0]
    return {
        "filename": upload.filename,
        "class": classes[best],
        "class_index": best,
        "probability": probabilities[best],
        "top_k": [
            {"class": classes[index], "class_index": index, "probability": probabilities[index]}
            for index in ranking[:top_k]
        ],
        "probabilities": dict(zip(classes, probabilities, strict=True)),
    }


def _describe_failure(upload: Upload, error: Exception) -> dict[str, Any]:
    """Return the entry of a picture that failed while others did not."""
    if not isinstance(error, TenfoldError):
        raise error
    return {
        "filename": upload.filename,
        "error": {"code": error.code, "message": error.message},
    }


def _name_upload(error: Exception, upload: Upload) -> Exception:
    """Return the error with the name of the file in its message, where it has one."""
    if upload.filename is None or not isinstance(error, TenfoldError):
        return error
    return InvalidRequestError(f"{upload.filename}: {error.message}", code=error.code)
