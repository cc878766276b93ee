"""The parts of the OpenAPI document that FastAPI does not write: the problems and the keys."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field

from service.errors import MEDIA_TYPE
from service.problems import PROBLEM_TYPES
from service.scopes import OPEN, find_declared
from store.keys import Scope

Responses = dict[int | str, dict[str, Any]]

_SECURITY_SCHEME = "api_key"
_KEY_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": (
        "An API key (`tenfold keys create`). Each operation names the scopes of which one is "
        "enough. A service that listens on its own machine only, and has no keys, asks for none."
    ),
}
# What every operation that needs a key can answer.
_KEY_PROBLEMS = (
    "key_missing",
    "key_invalid",
    "scope_missing",
    "host_not_allowed",
    "origin_not_allowed",
    "too_many_requests",
)


class FieldError(BaseModel):
    """One thing that is wrong with one field."""

    place: str = Field(alias="in", description="`body`, `query`, `path` or `header`.")
    field: str = Field(description="Name of the field, with dots into nested ones.")
    message: str = Field(description="What would be right.")


class Problem(BaseModel):
    """An RFC 9457 problem. Some codes add members of their own."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="Where the problem is explained: `/problems/{code}`.")
    title: str = Field(description="The kind of problem, the same words every time.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What was wrong this time, and what would be right.")
    code: str = Field(description="Stable name of the kind, for programs.")
    errors: list[FieldError] | None = Field(
        default=None, description="With `invalid_request`: every field that is wrong."
    )


def problem_responses(*codes: str) -> Responses:
    """Return the `responses` of a route that can answer with these problem codes."""
    responses: Responses = {}
    for code in codes:
        kind = PROBLEM_TYPES[code]
        response = responses.setdefault(
            kind.status,
            {
                "description": "",
                "content": {
                    MEDIA_TYPE: {
                        "schema": {"$ref": "#/components/schemas/Problem"},
                        "examples": {},
                    }
                },
            },
        )
        response["description"] = "; ".join(filter(None, [response["description"], kind.title]))
        response["content"][MEDIA_TYPE]["examples"][code] = {
            "value": {
                "type": f"/problems/{code}",
                "title": kind.title,
                "status": kind.status,
                "detail": f"{kind.title}. {kind.remedy}",
                "code": code,
            }
        }
    return responses


# What any route that uses the database can answer, whatever it does.
COMMON_PROBLEMS = ("invalid_request", "internal_error", "system_refused", "database_unusable")


def json_example(example: Any, description: str = "Successful response") -> dict[str, Any]:
    """Return the entry of `responses` that shows `example` as the JSON reply."""
    return {"description": description, "content": {"application/json": {"example": example}}}


def file_content(*media_types: str) -> dict[str, Any]:
    """Return the `content` of a reply that is a file of one of these types."""
    return {kind: {"schema": {"type": "string", "format": "binary"}} for kind in media_types}


def use_function_name(route: APIRoute) -> str:
    """Give each operation the name of its function: generated clients read well."""
    return route.name


def install(app: FastAPI) -> None:
    """Make `app.openapi()` describe the problems, and the scopes of each operation."""

    def build() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=app.description,
                routes=app.routes,
                tags=app.openapi_tags,
            )
            _add_problem_schemas(document)
            _add_scopes(document)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = build  # type: ignore[method-assign]


def _add_problem_schemas(document: dict[str, Any]) -> None:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= schema.pop("$defs")
    schemas["Problem"] = schema


def _add_scopes(document: dict[str, Any]) -> None:
    """Name the scopes of each operation as the roles of one security scheme."""
    document["components"]["securitySchemes"] = {_SECURITY_SCHEME: _KEY_SCHEME}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            scopes = find_declared(method.upper(), path)
            if scopes is None or scopes is OPEN:
                operation["security"] = []
                continue
            operation["security"] = [
                {_SECURITY_SCHEME: [scope]} for scope in Scope if scope in scopes
            ]
            _add_key_problems(operation["responses"])


def _add_key_problems(responses: dict[str, Any]) -> None:
    for status, response in problem_responses(*_KEY_PROBLEMS).items():
        known = responses.setdefault(str(status), response)
        if known is not response:
            examples = response["content"][MEDIA_TYPE]["examples"]
            known["content"][MEDIA_TYPE]["examples"] |= examples
            known["description"] += f"; {response['description']}"
