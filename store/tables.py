"""The tables. Only `store` writes to them; Alembic's migrations must match them exactly."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from store.clock import utc_now


class JobStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @classmethod
    def list_waiting(cls) -> "tuple[JobStatus, JobStatus]":
        """Return those that take a place in the queue: else pausing would make room for more."""
        return cls.QUEUED, cls.PAUSED

    @property
    def is_ended(self) -> bool:
        return self in {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}


class SweepStatus(StrEnum):
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_ended(self) -> bool:
        return self in {SweepStatus.SUCCEEDED, SweepStatus.FAILED, SweepStatus.CANCELLED}


class UtcDateTime(TypeDecorator[datetime]):
    """A time zone aware datetime. SQLite drops the zone, so it is put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    # Named constraints, because a migration cannot alter what has no name.
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )
    type_annotation_map: ClassVar = {datetime: UtcDateTime, dict[str, Any]: JSON, list[str]: JSON}


def _make_status_type(statuses: type[StrEnum]) -> Enum:
    return Enum(
        statuses,
        native_enum=False,
        length=16,
        create_constraint=True,
        name="status",
        values_callable=lambda statuses: [status.value for status in statuses],
    )


_status_type = _make_status_type(JobStatus)
_sweep_status_type = _make_status_type(SweepStatus)


class ApiKey(Base):
    """Who may ask the service. Revoked keys stay, so that what they did can still be told."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(12), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[str]]
    secret_sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    # Written now and then, not at each request.
    last_used_at: Mapped[datetime | None]


class Job(Base):
    __tablename__ = "jobs"
    __table_args__ = (
        Index(None, "status", "priority", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[JobStatus] = mapped_column(_status_type)
    priority: Mapped[int]
    request: Mapped[dict[str, Any]]
    spec: Mapped[dict[str, Any]]
    model_name: Mapped[str] = mapped_column(String(64))
    idempotency_key: Mapped[str | None] = mapped_column(String(255), unique=True)
    # Whose key submitted it; none where the service asks for no key.
    api_key_id: Mapped[str | None] = mapped_column(ForeignKey("api_keys.id"))
    # The fencing token: a write that carries another number than this one is refused.
    attempt: Mapped[int]
    crashes: Mapped[int]
    worker_id: Mapped[str | None] = mapped_column(String(64))
    # A counter, not a time: whoever watches it uses a clock of his own, so clocks may jump.
    heartbeats: Mapped[int]
    # Time that workers spent on it, by their monotonic clocks, over all attempts.
    run_seconds: Mapped[float]
    max_run_seconds: Mapped[float | None]
    max_wait_seconds: Mapped[float | None]
    progress: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Sweep(Base):
    """Jobs that differ in some fields of their spec, to find the best of them."""

    __tablename__ = "sweeps"
    __table_args__ = (Index(None, "status", "id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[SweepStatus] = mapped_column(_sweep_status_type)
    request: Mapped[dict[str, Any]]
    model_name: Mapped[str] = mapped_column(String(64))
    idempotency_key: Mapped[str | None] = mapped_column(String(255), unique=True)
    # Whose trials they are; none where no key was needed.
    api_key_id: Mapped[str | None] = mapped_column(ForeignKey("api_keys.id"))
    # Trials submitted so far, also those whose job was deleted: the number of the next one.
    submitted: Mapped[int]
    error: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    finished_at: Mapped[datetime | None]


class Trial(Base):
    """What makes a job a trial of a sweep."""

    __tablename__ = "trials"
    __table_args__ = (UniqueConstraint("sweep_id", "number"),)

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    sweep_id: Mapped[int] = mapped_column(ForeignKey("sweeps.id", ondelete="CASCADE"))
    number: Mapped[int]
    params: Mapped[dict[str, Any]]
    pruned_after_epoch: Mapped[int | None]


class StepMetric(Base):
    __tablename__ = "step_metrics"

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[int]
    loss: Mapped[float]
    learning_rate: Mapped[float]
    images_per_second: Mapped[float]
    elapsed_seconds: Mapped[float]
    seconds_left: Mapped[float]


class EpochMetric(Base):
    __tablename__ = "epoch_metrics"

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[int]
    train_loss: Mapped[float]
    train_accuracy: Mapped[float]
    test_loss: Mapped[float]
    test_accuracy: Mapped[float]
    # On the held-out training images; none where none are held out.
    validation_accuracy: Mapped[float | None]
    learning_rate: Mapped[float]
    images_per_second: Mapped[float]
    elapsed_seconds: Mapped[float]
    seconds_left: Mapped[float]


class Event(Base):
    __tablename__ = "events"
    __table_args__ = (Index(None, "job_id", "id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    kind: Mapped[str] = mapped_column(String(64))
    message: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]]


class WebhookEndpoint(Base):
    """Its one row tells whoever ends a job that the API has an address to tell of it.

    The address and its secret are settings of the API, and in no database and no backup.
    """

    __tablename__ = "webhook_endpoints"

    id: Mapped[int] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class WebhookDelivery(Base):
    """The end of a job that is still to be told; the row goes when that is done or given up."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    # The end of a deleted job is told as well.
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    # The same at each attempt, so that a receiver knows what it has had before.
    message_id: Mapped[str] = mapped_column(String(64), unique=True)
    payload: Mapped[str] = mapped_column(Text)
    # Begun so far; the fencing token of whoever sends it.
    attempt: Mapped[int]
    is_claimed: Mapped[bool]
    due_at: Mapped[datetime] = mapped_column(default=utc_now)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Artifact(Base):
    __tablename__ = "artifacts"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class ArtifactFile(Base):
    __tablename__ = "artifact_files"

    artifact_id: Mapped[str] = mapped_column(
        ForeignKey("artifacts.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))


class ArtifactChunk(Base):
    __tablename__ = "artifact_chunks"
    __table_args__ = (
        ForeignKeyConstraint(
            ["artifact_id", "name"],
            ["artifact_files.artifact_id", "artifact_files.name"],
            ondelete="CASCADE",
        ),
    )

    artifact_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)


class Checkpoint(Base):
    __tablename__ = "checkpoints"
    __table_args__ = (Index(None, "job_id", "id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    artifact_id: Mapped[str] = mapped_column(ForeignKey("artifacts.id"))
    attempt: Mapped[int]
    epoch: Mapped[int]
    step: Mapped[int]
    # Of the epoch that it was made at the end of; none within an epoch.
    test_accuracy: Mapped[float | None]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Model(Base):
    """One version of a published model."""

    __tablename__ = "models"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int | None] = mapped_column(
        ForeignKey("jobs.id", ondelete="SET NULL"), unique=True
    )
    artifact_id: Mapped[str] = mapped_column(ForeignKey("artifacts.id"))
    dataset: Mapped[str] = mapped_column(String(64))
    network: Mapped[str] = mapped_column(String(64))
    accuracy: Mapped[float]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    manifest: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)


class Alias(Base):
    __tablename__ = "aliases"
    __table_args__ = (
        ForeignKeyConstraint(
            ["model_name", "version"], ["models.name", "models.version"], ondelete="CASCADE"
        ),
    )

    model_name: Mapped[str] = mapped_column(String(64), primary_key=True)
    alias: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[int]


class Worker(Base):
    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int]
    device: Mapped[str] = mapped_column(String(255))
    started_at: Mapped[datetime] = mapped_column(default=utc_now)
    heartbeat_at: Mapped[datetime] = mapped_column(default=utc_now)
    stopped_at: Mapped[datetime | None]


class Dataset(Base):
    """What the workers have found that can be trained on."""

    __tablename__ = "datasets"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    description: Mapped[dict[str, Any]]
    updated_at: Mapped[datetime] = mapped_column(default=utc_now)


class Network(Base):
    """How each network is built, as the workers describe it."""

    __tablename__ = "networks"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    description: Mapped[dict[str, Any]]
    graph_svg: Mapped[str] = mapped_column(Text)
