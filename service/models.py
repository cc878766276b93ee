"""`/models`: what training produced, by name, version and alias."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from sqlalchemy.orm import Session

from service import cursors
from service.context import Context, ContextDependency
from service.cursors import LARGEST_INTEGER, CursorQuery
from service.downloads import FILE_EXAMPLES, FILE_REPLIES, ZIP_REPLIES, ArtifactFolder, FileReply
from service.openapi import COMMON_PROBLEMS, json_example, problem_responses
from service.parameters import AliasName, FileName, IfNoneMatch, Limit, ModelName, VersionNumber
from store import models
from store.tables import Model

router = APIRouter(prefix="/models", tags=["models"], responses=problem_responses(*COMMON_PROBLEMS))
_MODEL = problem_responses("model_not_found")
_DAMAGED = problem_responses("internal_error", "artifact_damaged")


class VersionSummary(BaseModel):
    """One version of a model."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    version: int
    job_id: int | None = Field(description="The job that trained it; null once that is deleted.")
    dataset: str
    network: str
    accuracy: float = Field(description="Share of the test images that it classifies correctly.")
    size_bytes: int
    created_at: datetime


class VersionReply(VersionSummary):
    """One version with its manifest and its files."""

    aliases: list[str] = Field(description="The aliases that point at this version.")
    manifest: dict[str, JsonValue] = Field(
        description="Classes, input shape, normalisation, metrics and spec."
    )
    files: list[FileReply]


class ModelSummary(BaseModel):
    """A model by its newest version."""

    name: str
    newest: VersionSummary
    aliases: dict[str, int] = Field(description="The version that each alias points at.")


class ModelPage(BaseModel):
    """Some of the models, in alphabetical order."""

    items: list[ModelSummary]
    next_cursor: str | None = Field(description="Where the next page begins; null on the last.")


class ModelReply(BaseModel):
    """A model with all its versions."""

    name: str
    aliases: dict[str, int] = Field(description="The version that each alias points at.")
    versions: list[VersionSummary] = Field(description="Newest first.")


class AliasRequest(BaseModel):
    """Where an alias is to point."""

    model_config = ConfigDict(extra="forbid")

    version: int = Field(ge=1, le=LARGEST_INTEGER, description="A version of the model.")


class AliasReply(BaseModel):
    """Where an alias points."""

    model: str
    alias: str
    version: int


_VERSION: dict[str, Any] = {
    "name": "cifar10-tutorial",
    "version": 1,
    "job_id": 7,
    "dataset": "cifar10",
    "network": "lenet",
    "accuracy": 0.547,
    "size_bytes": 512_044,
    "created_at": "2026-01-31T12:00:24Z",
}
_MODEL_EXAMPLE = {
    "name": "cifar10-tutorial",
    "aliases": {"production": 1},
    "versions": [_VERSION],
}
_VERSION_EXAMPLE = _VERSION | {
    "aliases": ["production"],
    "manifest": {"format_version": 1, "dataset": "cifar10", "classes": ["airplane", "…"]},
    "files": FILE_EXAMPLES,
}
_ALIAS_EXAMPLE = {"model": "cifar10-tutorial", "alias": "production", "version": 1}


@router.get(
    "",
    responses={
        200: json_example(
            {
                "items": [
                    {
                        "name": "cifar10-tutorial",
                        "newest": _VERSION,
                        "aliases": {"production": 1},
                    }
                ],
                "next_cursor": None,
            }
        ),
        **problem_responses("invalid_cursor"),
    },
)
def list_models(
    context: ContextDependency, limit: Limit = 50, cursor: CursorQuery = None
) -> ModelPage:
    """List the models, each with its newest version."""
    after = None if cursor is None else cursors.decode_name("models", cursor)
    with context.database.reading() as session:
        page = models.list_newest(session, after=after, limit=limit + 1)
        rows = page[:limit]
        items = [
            ModelSummary(
                name=row.name,
                newest=VersionSummary.model_validate(row),
                aliases=models.list_aliases(session, row.name),
            )
            for row in rows
        ]
    next_cursor = cursors.encode("models", rows[-1].name) if len(page) > limit else None
    return ModelPage(items=items, next_cursor=next_cursor)


@router.get("/{model_name}", responses={200: json_example(_MODEL_EXAMPLE), **_MODEL})
def get_model(model_name: ModelName, context: ContextDependency) -> ModelReply:
    """Return a model with its versions and aliases."""
    with context.database.reading() as session:
        versions = models.list_versions(session, model_name)
        aliases = models.list_aliases(session, model_name)
    return ModelReply(
        name=model_name,
        aliases=aliases,
        versions=[VersionSummary.model_validate(row) for row in versions],
    )


@router.get(
    "/{model_name}/versions/{version}", responses={200: json_example(_VERSION_EXAMPLE), **_MODEL}
)
def get_model_version(
    model_name: ModelName, version: VersionNumber, context: ContextDependency
) -> VersionReply:
    """Return one version with its manifest and files."""
    with context.database.reading() as session:
        row = models.get(session, model_name, version)
        aliases = models.list_aliases(session, model_name)
        files = context.artifacts.list_files(session, row.artifact_id)
    return _describe_version(row, aliases, [FileReply.model_validate(file) for file in files])


@router.delete(
    "/{model_name}/versions/{version}",
    status_code=204,
    responses={204: {"description": "The version, its files and its aliases are gone."}, **_MODEL},
)
def delete_model_version(
    model_name: ModelName, version: VersionNumber, context: ContextDependency
) -> None:
    """Delete one version, its files, and the aliases that point at it."""
    with context.database.writing() as session:
        models.delete_version(session, model_name, version, context.artifacts)
    context.loaded_models.refresh_from_thread()


@router.get(
    "/{model_name}/versions/{version}/files/{file_name}",
    response_class=Response,
    responses={
        **FILE_REPLIES,
        **problem_responses("model_not_found", "file_not_found"),
        **_DAMAGED,
    },
)
def download_model_file(
    model_name: ModelName,
    version: VersionNumber,
    file_name: FileName,
    context: ContextDependency,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Download one file of a version."""
    return _open(context, model_name, version).send_file(file_name, if_none_match)


@router.get(
    "/{model_name}/versions/{version}/download",
    response_class=Response,
    responses={**ZIP_REPLIES, **_MODEL, **_DAMAGED},
)
def download_model(
    model_name: ModelName, version: VersionNumber, context: ContextDependency
) -> Response:
    """Download a version as one zip archive."""
    return _open(context, model_name, version).send_zip(f"{model_name}-{version}.zip")


@router.put(
    "/{model_name}/aliases/{alias}",
    responses={
        200: json_example(_ALIAS_EXAMPLE),
        **_MODEL,
        **problem_responses("malformed_body", "body_too_large"),
    },
)
def set_model_alias(
    model_name: ModelName,
    alias: AliasName,
    request: Annotated[AliasRequest, Body(openapi_examples={"first": {"value": {"version": 1}}})],
    context: ContextDependency,
) -> AliasReply:
    """Point an alias at a version. `production` is what /predict uses when no version is named."""
    with context.database.writing() as session:
        models.set_alias(session, model_name, alias, request.version)
    context.loaded_models.refresh_from_thread()
    return AliasReply(model=model_name, alias=alias, version=request.version)


@router.delete(
    "/{model_name}/aliases/{alias}",
    status_code=204,
    responses={
        204: {"description": "The alias is gone; the version stays."},
        **problem_responses("alias_not_found"),
    },
)
def delete_model_alias(model_name: ModelName, alias: AliasName, context: ContextDependency) -> None:
    """Remove an alias. The version that it pointed at stays."""
    with context.database.writing() as session:
        models.delete_alias(session, model_name, alias)
    context.loaded_models.refresh_from_thread()


def _describe_version(row: Model, aliases: dict[str, int], files: list[FileReply]) -> VersionReply:
    return VersionReply(
        **VersionSummary.model_validate(row).model_dump(),
        aliases=[alias for alias, version in aliases.items() if version == row.version],
        manifest=row.manifest,
        files=files,
    )


def _open(context: Context, model_name: str, version: int) -> ArtifactFolder:
    def find(session: Session) -> str:
        return models.get(session, model_name, version).artifact_id

    return ArtifactFolder(context, find)
