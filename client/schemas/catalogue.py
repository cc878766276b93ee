"""What a job can be made of, and the state of the service."""

from datetime import datetime

from pydantic import Field

from client.schemas.base import Reply
from client.spec import TrainingSpec


class Dataset(Reply):
    """A data set; what is not known before it was fetched is null."""

    name: str
    description: str = ""
    state: str
    classes: list[str] = Field(default_factory=list)
    height: int | None = None
    width: int | None = None
    class_counts: dict[str, list[int]] | None = None
    counts: dict[str, int] | None = None
    fingerprint: str | None = None
    problem: str | None = None


class DatasetList(Reply):
    items: list[Dataset]


class Layer(Reply):
    """One operation of the forward pass; the shape has no batch."""

    name: str
    operation: str
    output_shape: list[int]
    parameter_count: int


class Parameter(Reply):
    name: str
    shape: list[int]
    count: int


class Network(Reply):
    """A network; layers and the printed module are there when it was asked for by itself."""

    name: str
    summary: str
    input_shape: list[int]
    classes: int
    smallest_side: int
    parameter_count: int
    layers: list[Layer] = Field(default_factory=list)
    parameters: list[Parameter] = Field(default_factory=list)
    printed: str = ""


class NetworkList(Reply):
    items: list[Network]


class Recipe(Reply):
    name: str
    description: str
    spec: TrainingSpec


class RecipeList(Reply):
    items: list[Recipe]


class Worker(Reply):
    """A worker that is alive."""

    id: str
    host: str
    pid: int
    device: str
    started_at: datetime
    heartbeat_at: datetime


class WorkerList(Reply):
    items: list[Worker]


class Readiness(Reply):
    status: str
    schema_revision: str
    workers_alive: int


class Storage(Reply):
    """Bytes that are stored, and room for more; null where the database is no file."""

    database_bytes: int | None
    database_max_bytes: int | None
    unused_bytes: int | None
    checkpoints_bytes: int
    models_bytes: int
    free_bytes: int
    artifacts_free_bytes: int
