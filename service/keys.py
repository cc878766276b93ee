"""`/keys`: who may use the service. Only keys with the scope `admin` come here."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from service.context import ContextDependency
from service.openapi import COMMON_PROBLEMS, json_example, problem_responses
from store import keys
from store.keys import Scope

router = APIRouter(prefix="/keys", tags=["keys"], responses=problem_responses(*COMMON_PROBLEMS))

KeyId = Annotated[
    str,
    Path(pattern=keys.ID_PATTERN, description="Id of the key.", examples=["3f9a0c51d7e2"]),
]
_EXAMPLE = {
    "id": "3f9a0c51d7e2",
    "name": "ci",
    "scopes": ["read", "train"],
    "created_at": "2026-01-31T12:00:00Z",
    "expires_at": "2026-05-01T12:00:00Z",
    "revoked_at": None,
    "last_used_at": "2026-01-31T12:10:00Z",
}
_CREATED = _EXAMPLE | {
    "last_used_at": None,
    "key": "tenfold_3f9a0c51d7e2_" + "A" * 43,
}


class KeyRequest(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"name": "ci", "scopes": ["read", "train"]}},
    )

    name: str = Field(pattern=keys.NAME_PATTERN, description="Who or what will use it.")
    scopes: list[Scope] = Field(
        min_length=1, max_length=len(Scope), description="What it may do; `admin` is everything."
    )
    expires_in_days: int | None = Field(
        default=None,
        ge=1,
        le=keys.LONGEST_LIFE_DAYS,
        strict=True,
        description="Days after which it is refused; without this it lives until it is revoked.",
    )


class KeyReply(BaseModel):
    """A key, without its secret."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(description="The part of the key that is no secret.")
    name: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")


class CreatedKey(KeyReply):
    """A new key, with the key itself: nobody can read it again."""

    key: str = Field(description="Send it as `Authorization: Bearer <key>`.")


class KeyList(BaseModel):
    """All keys, also those that were revoked, oldest first."""

    items: list[KeyReply]


@router.post(
    "",
    status_code=201,
    responses={
        201: json_example(_CREATED, "The key was made and is shown this once."),
        **problem_responses("malformed_body", "body_too_large", *COMMON_PROBLEMS),
    },
)
def create_key(request: KeyRequest, response: Response, context: ContextDependency) -> CreatedKey:
    """Make an API key. The reply is the only place where it can ever be read."""
    with context.database.writing() as session:
        row, key = keys.create(
            session, request.name, request.scopes, expires_in_days=request.expires_in_days
        )
        reply = KeyReply.model_validate(row)
    response.headers["Cache-Control"] = "no-store"
    return CreatedKey(**reply.model_dump(), key=key)


@router.get("", responses={200: json_example({"items": [_EXAMPLE]})})
def list_keys(context: ContextDependency) -> KeyList:
    """List all API keys, never their secrets."""
    with context.database.reading() as session:
        rows = keys.list_all(session)
    return KeyList(items=[KeyReply.model_validate(row) for row in rows])


@router.post(
    "/{key_id}/revoke",
    responses={
        200: json_example(
            _EXAMPLE | {"revoked_at": "2026-02-01T12:00:00Z"}, "The key is refused from now on."
        ),
        **problem_responses("key_not_found"),
    },
)
def revoke_key(key_id: KeyId, context: ContextDependency) -> KeyReply:
    """Revoke an API key for good. Every process refuses it within seconds."""
    with context.database.writing() as session:
        return KeyReply.model_validate(keys.revoke(session, key_id))
