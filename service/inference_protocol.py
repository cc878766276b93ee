"""`/v2`: the Open Inference Protocol, so that clients of other servers work unchanged.

Failures are `{"error": "…"}` here, because that is what those clients read.
"""

from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

import numpy as np
import orjson
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from service.bare_requests import read_body
from service.context import Context
from service.disconnects import await_connected
from service.errors import list_methods
from service.model_cache import LoadedModel, ModelKey
from service.predictor import InputShape, Item, Prediction
from service.problems import PROBLEM_TYPES
from service.protocol_schemas import (
    ERROR_REPLY,
    INFER_DOCUMENTATION,
    INFER_REPLY,
    LIVE_REPLY,
    LOAD_REPLY,
    READY_REPLY,
    REPOSITORY_DOCUMENTATION,
    REPOSITORY_REPLY,
    UNLOAD_REPLY,
    UNREADY_REPLY,
    ModelMetadata,
    ModelReadiness,
    ModelReference,
    ServerMetadata,
    VersionReference,
)
from service.tensors import (
    INPUT_NAME,
    InferRequest,
    OutputTensor,
    RequestedOutput,
    inflate,
    read_items,
    read_request,
    write_reply,
)
from store import models
from store.errors import InvalidRequestError, NotFoundError, TenfoldError

_EXTENSIONS = ["binary_tensor_data", "classification", "model_repository"]
_OUTPUTS = ("probabilities", "class_index", "class")
_MICROSECONDS = 1_000_000
# A longer body takes more than a millisecond to take apart: that is a thread's work.
_LONG_BODY_BYTES = 1 << 14

Handler = Callable[..., Coroutine[Any, Any, Response]]


class ProtocolRoute(APIRoute):
    """Calls its function with the bare request, and tells every failure as the protocol does."""

    def get_route_handler(self) -> Handler:
        handler: Handler = self.endpoint

        async def handle(request: Request) -> Response:
            try:
                return await handler(request, **request.path_params)
            except TenfoldError as error:
                kind = PROBLEM_TYPES.get(error.code, PROBLEM_TYPES["internal_error"])
                return build_error(kind.status, error.message, error.details)
            except HTTPException as error:
                return build_error(error.status_code, error.detail, headers=error.headers)
            except ClientDisconnect:
                return Response()

        return handle


router = APIRouter(
    prefix="/v2",
    tags=["open inference protocol"],
    route_class=ProtocolRoute,
    responses={"4XX": ERROR_REPLY, "5XX": ERROR_REPLY},
)


def build_error(
    status: int,
    message: str,
    details: dict[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the protocol's form of a failure."""
    seconds = (details or {}).get("retry_after_seconds")
    retry = {} if seconds is None else {"Retry-After": str(seconds)}
    return _reply({"error": message}, status, {**(headers or {}), **retry})


@router.get("", response_model=ServerMetadata)
async def get_server_metadata(request: Request) -> Response:
    """Tell the server's name, version and the protocol extensions that it has."""
    return _reply({"name": "tenfold", "version": request.app.version, "extensions": _EXTENSIONS})


@router.get("/health/live", responses=LIVE_REPLY)
async def check_server_liveness(request: Request) -> Response:  # noqa: ARG001
    """Tell that the process answers."""
    return _reply({"live": True})


@router.get("/health/ready", responses=READY_REPLY)
async def check_server_readiness(request: Request) -> Response:
    """Tell that models can be asked for: the process has started and can read the database."""
    await run_in_threadpool(_list_versions, _context(request), None)
    return _reply({"live": True, "ready": True})


@router.get("/models/{model}", response_model=ModelMetadata)
async def get_model_metadata(request: Request, model: ModelReference) -> Response:
    """Tell the versions, the inputs and the outputs of a model."""
    return await _describe_model(_context(request), model)


@router.get("/models/{model}/versions/{version}", response_model=ModelMetadata)
async def get_version_metadata(
    request: Request, model: ModelReference, version: VersionReference
) -> Response:
    """Tell the same of one version, by its number or an alias."""
    return await _describe_model(_context(request), f"{model}@{version}")


@router.get("/models/{model}/ready", response_model=ModelReadiness, responses=UNREADY_REPLY)
async def check_model_readiness(request: Request, model: ModelReference) -> Response:
    """Tell whether a model answers: it is published, and was not unloaded since."""
    return await _check_readiness(_context(request), model)


@router.get(
    "/models/{model}/versions/{version}/ready",
    response_model=ModelReadiness,
    responses=UNREADY_REPLY,
)
async def check_version_readiness(
    request: Request, model: ModelReference, version: VersionReference
) -> Response:
    """Tell the same of one version."""
    return await _check_readiness(_context(request), f"{model}@{version}")


@router.post("/models/{model}/infer", responses=INFER_REPLY, openapi_extra=INFER_DOCUMENTATION)
async def infer(request: Request, model: ModelReference) -> Response:
    """Run pictures through a model.

    The input `images` is UINT8 pixels [N, H, W, C] of the model's own size, or BYTES [N]: PNG,
    JPEG or WebP files of any size. Both may be binary tensors; in JSON, BYTES are base64.
    """
    return await _infer(request, model)


@router.post(
    "/models/{model}/versions/{version}/infer",
    responses=INFER_REPLY,
    openapi_extra=INFER_DOCUMENTATION,
)
async def infer_version(
    request: Request, model: ModelReference, version: VersionReference
) -> Response:
    """Run pictures through one version of a model."""
    return await _infer(request, f"{model}@{version}")


@router.post(
    "/repository/index", responses=REPOSITORY_REPLY, openapi_extra=REPOSITORY_DOCUMENTATION
)
async def list_repository(request: Request) -> Response:
    """List every version of every model; with `{"ready": true}` those that answer."""
    context = _context(request)
    body = await request.body()
    only_ready = bool(body) and _read_object(body).get("ready") is True
    entries = []
    for key in await run_in_threadpool(_list_versions, context, None):
        is_ready = not context.loaded_models.is_unloaded(key)
        if is_ready or not only_ready:
            entries.append(
                {
                    "name": key.name,
                    "version": str(key.version),
                    "state": "READY" if is_ready else "UNAVAILABLE",
                    "reason": "" if is_ready else "unloaded",
                }
            )
    return _reply(entries)


@router.post("/repository/models/{model}/load", responses=LOAD_REPLY)
async def load_model(request: Request, model: ModelReference) -> Response:
    """Load a model into memory now. Without it a model is loaded by its first request."""
    loaded = await _context(request).loaded_models.find(model)
    return _reply({"name": loaded.key.name, "load": True})


@router.post("/repository/models/{model}/unload", responses=UNLOAD_REPLY)
async def unload_model(request: Request, model: ModelReference) -> Response:
    """Free the memory of all versions of a model. A later request loads it again."""
    context = _context(request)
    for key in await run_in_threadpool(_list_versions, context, model):
        context.loaded_models.unload(key)
    return _reply({"name": model, "unload": True})


@router.api_route("/{rest:path}", methods=["GET", "POST", "PUT", "DELETE"], include_in_schema=False)
async def refuse_unknown(request: Request, rest: str) -> Response:
    message = f"{request.method} /v2/{rest} is no part of the protocol that this server has."
    if methods := list_methods(request):
        raise HTTPException(405, message, headers={"Allow": ", ".join(methods)})
    raise NotFoundError(message)


async def _describe_model(context: Context, reference: str) -> Response:
    model = await context.loaded_models.find(reference)
    versions = await run_in_threadpool(_list_versions, context, model.key.name)
    shape, count = model.predictor.input, len(model.predictor.classes)
    return _reply(
        {
            "name": model.key.name,
            "versions": [str(key.version) for key in versions],
            "platform": "onnx_onnxv1",
            "inputs": [
                {
                    "name": INPUT_NAME,
                    "datatype": "UINT8",
                    "shape": [-1, shape.height, shape.width, shape.channels],
                }
            ],
            "outputs": [
                {"name": "probabilities", "datatype": "FP32", "shape": [-1, count]},
                {"name": "class_index", "datatype": "INT64", "shape": [-1]},
                {"name": "class", "datatype": "BYTES", "shape": [-1]},
            ],
        }
    )


def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


async def _check_readiness(context: Context, reference: str) -> Response:
    key = await context.loaded_models.resolve(reference)
    is_ready = not context.loaded_models.is_unloaded(key)
    return _reply({"name": key.name, "ready": is_ready}, 200 if is_ready else 503)


async def _infer(request: Request, reference: str) -> Response:
    context, headers = _context(request), request.headers
    model = await context.loaded_models.find(reference)
    body = await read_body(request.receive)
    read = partial(_read_body, largest_bytes=context.settings.limit_predict_body_bytes)
    if len(body) > _LONG_BODY_BYTES or "content-encoding" in headers:
        asked, items = await run_in_threadpool(read, body, headers, model.predictor.input)
    else:
        asked, items = read(body, headers, model.predictor.input)
    deadline_seconds = _read_deadline(asked, context.settings.predict_deadline_seconds)
    outcomes = await await_connected(request, model.predict(items, deadline_seconds))
    return _reply_outputs(asked, model, [_check(item, n) for n, item in enumerate(outcomes)])


def _read_body(
    body: bytes, headers: Headers, shape: InputShape, *, largest_bytes: int
) -> tuple[InferRequest, list[Item]]:
    """Return the request and its pictures. Raises InvalidRequestError."""
    content = inflate(body, headers.get("content-encoding", ""), largest_bytes)
    asked, binary = read_request(content, headers.get("inference-header-content-length"))
    return asked, read_items(asked, binary, shape)


def _list_versions(context: Context, name: str | None) -> list[ModelKey]:
    """Return the versions of one model, or of all, newest first."""
    with context.database.reading() as session:
        if name is not None:
            return [ModelKey.of(row) for row in models.list_versions(session, name)]
        return [ModelKey.of(row) for row in models.list_all(session)]


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(f"The request is not JSON: {error}.") from error
    if not isinstance(content, dict):
        raise InvalidRequestError("The request must be a JSON object.")
    return content


def _read_deadline(asked: InferRequest, longest_seconds: float) -> float:
    """Return the deadline: the server's, or a shorter one of the request, in microseconds."""
    timeout = asked.parameters.get("timeout")
    if isinstance(timeout, int) and timeout > 0:
        return min(longest_seconds, timeout / _MICROSECONDS)
    return longest_seconds


def _check(outcome: Prediction | Exception, place: int) -> Prediction:
    """Return a prediction. The protocol has no errors of single elements, so one fails all."""
    if isinstance(outcome, TenfoldError):
        raise InvalidRequestError(f"Element {place}: {outcome.message}", code=outcome.code)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _reply_outputs(
    asked: InferRequest, model: LoadedModel, predictions: list[Prediction]
) -> Response:
    binary_by_default = asked.parameters.get("binary_data_output") is True
    wanted = asked.outputs or [RequestedOutput(name=name) for name in _OUTPUTS]
    outputs = [_build_output(output, model, predictions, binary_by_default) for output in wanted]
    head = {"model_name": model.key.name, "model_version": str(model.key.version)}
    if asked.id is not None:
        head["id"] = asked.id
    body, json_length = write_reply(head, outputs)
    if json_length is None:
        return Response(body, media_type="application/json")
    return Response(
        body,
        headers={"Inference-Header-Content-Length": str(json_length)},
        media_type="application/octet-stream",
    )


def _build_output(
    wanted: RequestedOutput,
    model: LoadedModel,
    predictions: list[Prediction],
    binary_by_default: bool,  # noqa: FBT001
) -> OutputTensor:
    is_binary = wanted.parameters.get("binary_data", binary_by_default) is True
    classes, count = model.predictor.classes, len(predictions)
    best = [prediction.ranking[0] for prediction in predictions]
    top = wanted.parameters.get("classification", 0)
    match wanted.name:
        case "probabilities" if isinstance(top, int) and top > 0:
            top = min(top, len(classes))
            return OutputTensor(
                "probabilities",
                "BYTES",
                [count, top],
                [
                    f"{prediction.probabilities[index]:f}:{index}:{classes[index]}".encode()
                    for prediction in predictions
                    for index in prediction.ranking[:top]
                ],
                is_binary,
            )
        case "probabilities":
            values = np.array([item.probabilities for item in predictions], dtype=np.float32)
            return OutputTensor("probabilities", "FP32", list(values.shape), values, is_binary)
        case "class_index":
            return OutputTensor("class_index", "INT64", [count], np.array(best), is_binary)
        case "class":
            names = [classes[index].encode() for index in best]
            return OutputTensor("class", "BYTES", [count], names, is_binary)
    raise InvalidRequestError(
        f"There is no output {wanted.name!r}: the model has {', '.join(_OUTPUTS)}."
    )


def _reply(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, "application/json")
