"""The models that jobs produced: versions, and aliases that point at one of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store.artifacts import ArtifactStore
from store.errors import InvalidRequestError, NotFoundError
from store.jobs import Claim
from store.tables import Alias, Model

# What still fits a 64-bit integer.
_MOST_VERSION_DIGITS = 18


def publish(
    session: Session,
    artifacts: ArtifactStore,
    claim: Claim,
    files: Mapping[str, bytes],
    manifest: dict[str, Any],
) -> Model:
    """Store the files as the next version of the claim's model name."""
    stored = artifacts.put(session, files)
    newest = session.scalar(select(func.max(Model.version)).where(Model.name == claim.model_name))
    model = Model(
        name=claim.model_name,
        version=(newest or 0) + 1,
        job_id=claim.job_id,
        artifact_id=stored.id,
        dataset=claim.spec.dataset,
        network=claim.spec.network,
        accuracy=manifest["metrics"]["accuracy"],
        size_bytes=stored.size_bytes,
        manifest=manifest,
    )
    session.add(model)
    session.flush()
    return model


def resolve(session: Session, reference: str | None) -> Model:
    """Return the model of a reference: `name`, `name@3` or `name@alias`.

    A bare name is its alias `production` where it has one, else its newest version; no reference
    at all is the newest model there is.
    Raises NotFoundError: `no_model` when nothing was published, else `model_not_found`.
    """
    if reference is None:
        return _find_newest(session)
    name, _, tag = reference.partition("@")
    if tag.isdecimal() and len(tag) <= _MOST_VERSION_DIGITS:
        version: int | None = int(tag)
    elif tag:
        version = _find_alias(session, name, tag)
        if version is None:
            raise NotFoundError(f"The model {name!r} has no alias {tag!r}.", code="model_not_found")
    else:
        version = _find_alias(session, name, "production")
    return get(session, name, version)


def get(session: Session, name: str, version: int | None = None) -> Model:
    """Return one version, the newest by default. Raises NotFoundError (`model_not_found`)."""
    query = select(Model).where(Model.name == name).order_by(Model.version.desc()).limit(1)
    if version is not None:
        query = query.where(Model.version == version)
    model = session.scalar(query)
    if model is None:
        of_version = "" if version is None else f" version {version} of"
        raise NotFoundError(
            f"There is no{of_version} model {name!r}: GET /models lists those that exist.",
            code="model_not_found",
        )
    return model


def find_of_job(session: Session, job_id: int) -> Model | None:
    return session.scalar(select(Model).where(Model.job_id == job_id))


def find_of_jobs(session: Session, job_ids: Sequence[int]) -> dict[int, Model]:
    """Return the models of those of the jobs that have one, by job id."""
    models = session.scalars(select(Model).where(Model.job_id.in_(job_ids)))
    return {model.job_id: model for model in models if model.job_id is not None}


def list_newest(session: Session, *, after: str | None = None, limit: int = 50) -> list[Model]:
    """Return the newest version of up to `limit` models, by name, those after `after`."""
    newest = select(Model.name, func.max(Model.version).label("version")).group_by(Model.name)
    newest = newest.order_by(Model.name).limit(limit)
    if after is not None:
        newest = newest.where(Model.name > after)
    page = newest.subquery()
    query = select(Model).join(
        page, (Model.name == page.c.name) & (Model.version == page.c.version)
    )
    return list(session.scalars(query.order_by(Model.name)))


def list_versions(session: Session, name: str) -> list[Model]:
    """Return all versions, newest first. Raises NotFoundError (`model_not_found`)."""
    get(session, name)
    return list(
        session.scalars(select(Model).where(Model.name == name).order_by(Model.version.desc()))
    )


def list_all(session: Session) -> list[Model]:
    """Return all versions of all models, by name, newest first."""
    return list(session.scalars(select(Model).order_by(Model.name, Model.version.desc())))


def list_aliases(session: Session, name: str) -> dict[str, int]:
    query = select(Alias).where(Alias.model_name == name).order_by(Alias.alias)
    return {alias.alias: alias.version for alias in session.scalars(query)}


def set_alias(session: Session, name: str, alias: str, version: int) -> None:
    """Point the alias at a version. Raises NotFoundError when there is no such version."""
    if alias.isdecimal():
        raise InvalidRequestError(
            f"An alias must not be a number, because {name}@{alias} means version {alias}: "
            "choose a word such as `production`."
        )
    get(session, name, version)
    session.merge(Alias(model_name=name, alias=alias, version=version))


def delete_alias(session: Session, name: str, alias: str) -> None:
    """Remove the alias; the version stays. Raises NotFoundError (`alias_not_found`)."""
    row = session.get(Alias, (name, alias))
    if row is None:
        raise NotFoundError(f"The model {name!r} has no alias {alias!r}.", code="alias_not_found")
    session.delete(row)


def delete_version(session: Session, name: str, version: int, artifacts: ArtifactStore) -> None:
    """Delete one version, its bytes, and the aliases that point at it."""
    model = get(session, name, version)
    session.delete(model)
    session.flush()
    artifacts.delete(session, model.artifact_id)


def _find_newest(session: Session) -> Model:
    query = select(Model).order_by(Model.created_at.desc(), Model.version.desc()).limit(1)
    model = session.scalar(query)
    if model is None:
        raise NotFoundError(
            "No model has been published yet: train one with POST /jobs and wait until it "
            "has succeeded.",
            code="no_model",
        )
    return model


def _find_alias(session: Session, name: str, alias: str) -> int | None:
    return session.scalar(
        select(Alias.version).where(Alias.model_name == name, Alias.alias == alias)
    )
