"""Exceptions become RFC 9457 problems (`application/problem+json`) here and nowhere else."""

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from service.problems import PROBLEM_TYPES
from service.security_headers import API_HEADERS
from store.errors import TenfoldError
from store.refusals import explain_refusal

MEDIA_TYPE = "application/problem+json"

_logger = logging.getLogger(__name__)

# What the router and the body reader raise carries a status only.
_CODE_OF_STATUS = {
    400: "malformed_body",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
}


def add_handlers(app: FastAPI) -> None:
    app.exception_handler(TenfoldError)(_answer_tenfold_error)
    app.exception_handler(RequestValidationError)(_answer_validation_error)
    app.exception_handler(HTTPException)(_answer_http_exception)
    app.exception_handler(OSError)(_answer_os_error)
    app.exception_handler(Exception)(_answer_unknown_exception)


def answer(request: Request, error: TenfoldError | HTTPException | OSError) -> Response:
    """Return the problem of an error that was caught outside of FastAPI's own handlers.

    Raises an OSError again that is not about the machine.
    """
    if isinstance(error, TenfoldError):
        return _answer_tenfold_error(request, error)
    if isinstance(error, OSError):
        return _answer_os_error(request, error)
    return _answer_http_exception(request, error)


def build_problem(
    code: str,
    detail: str,
    extra: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    path: str = "",
) -> Response:
    """Return the response for a code of `PROBLEM_TYPES`.

    Under `/v2` it also has the member `error`, which clients of that protocol look for.
    """
    kind = PROBLEM_TYPES[code]
    body = {
        **(extra or {}),
        "type": f"/problems/{code}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "code": code,
    }
    if path.startswith("/v2/"):
        body["error"] = detail
    return Response(json.dumps(body), kind.status, headers=headers, media_type=MEDIA_TYPE)


def _answer_tenfold_error(request: Request, error: TenfoldError) -> Response:
    code = error.code if error.code in PROBLEM_TYPES else "internal_error"
    seconds = error.details.get("retry_after_seconds")
    if seconds is not None:
        # Too much to do is no failure: it has its own metric, and a log line each would add to it.
        return build_problem(code, error.message, headers={"Retry-After": str(seconds)})
    if PROBLEM_TYPES[code].status >= 500:  # noqa: PLR2004
        _logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return build_problem(code, error.message, error.details)


def _answer_validation_error(request: Request, error: RequestValidationError) -> Response:
    errors = error.errors()
    if any(item["type"] == "json_invalid" for item in errors):
        reason = errors[0].get("ctx", {}).get("error", "")
        return build_problem(
            "malformed_body",
            f"The body is not JSON: {reason} at character {errors[0]['loc'][-1]}. "
            "Send one JSON document.",
        )
    fields = [_describe(item, request) for item in errors]
    detail = "; ".join(f"{field['field']}: {field['message']}" for field in fields)
    return build_problem("invalid_request", detail, {"errors": fields})


def _describe(item: Mapping[str, Any], request: Request) -> dict[str, str]:
    """Return one pydantic error as {field, in, message}."""
    place, *path = item["loc"] or ("body",)
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        known = ", ".join(_known_fields(request))
        message = f"There is no such field. Known fields: {known}"
    if item["type"] == "model_attributes_type" or (place == "body" and not path):
        message = _explain_body(item, message)
    return {"in": str(place), "field": ".".join(map(str, path)) or str(place), "message": message}


def _explain_body(item: Mapping[str, Any], message: str) -> str:
    """Return what to send where it is not one field that is wrong, but the body."""
    is_object = isinstance(item.get("input"), dict)
    return message if is_object else "Send a JSON object, with Content-Type: application/json"


def _known_fields(request: Request) -> Sequence[str]:
    body_field = getattr(request.scope.get("route"), "body_field", None)
    model = None if body_field is None else body_field.field_info.annotation
    if isinstance(model, type) and issubclass(model, BaseModel):
        return list(model.model_fields)
    return []


def _answer_http_exception(request: Request, error: HTTPException) -> Response:
    code = _CODE_OF_STATUS.get(error.status_code, "internal_error")
    headers = dict(error.headers or {})
    if code == "method_not_allowed" and (methods := list_methods(request)):
        headers["Allow"] = ", ".join(methods)
    return build_problem(code, _explain(code, request, error), headers=headers)


def list_methods(request: Request) -> Sequence[str]:
    """Return every method of this address; the router names those of one route only."""
    documented = request.app.openapi()["paths"]
    return [
        method.upper()
        for path, methods in documented.items()
        if compile_path(path)[0].match(request.url.path)
        for method in methods
    ]


def _explain(code: str, request: Request, error: HTTPException) -> str:
    path = request.url.path
    explanations = {
        "not_found": f"There is nothing at {path}: GET /docs lists every address.",
        "method_not_allowed": f"{path} does not take {request.method}: use one of those in Allow.",
        "malformed_body": "The body cannot be read: send one JSON document in UTF-8.",
    }
    return explanations.get(code, str(error.detail))


def _answer_os_error(request: Request, error: OSError) -> Response:
    refusal = explain_refusal(error)
    if refusal is None:
        raise error
    _logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return build_problem("system_refused", f"{refusal}, then try again.", path=request.url.path)


def _answer_unknown_exception(request: Request, _error: Exception) -> Response:
    # Starlette raises the exception again after this answer, so the server logs its traceback.
    return build_problem(
        "internal_error",
        "The service failed on this request; its log has the traceback.",
        # It is sent outside of the middleware that adds them to all other replies.
        headers=API_HEADERS,
        path=request.url.path,
    )
