"""What the service replies, typed. Members that a newer service adds are kept."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field

from client.spec import TrainingSpec


class Reply(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, validate_by_name=True)


class JobStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_ended(self) -> bool:
        return self in {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}


class JobProgress(Reply):
    """How far the worker is."""

    epoch: int
    epochs: int
    step: int
    steps: int
    images_per_second: float | None = None
    elapsed_seconds: float | None = None
    seconds_left: float | None = None


class JobError(Reply):
    """Why a job failed."""

    code: str
    message: str
    traceback: str | None = None


class PublishedModel(Reply):
    """The model version that a job produced; `accuracy` is a share from 0 to 1."""

    name: str
    version: int
    accuracy: float


class JobRecord(Reply):
    """A job as it was when it was read."""

    id: int
    status: JobStatus
    priority: int
    request: dict[str, Any]
    spec: TrainingSpec
    model_name: str
    model: PublishedModel | None = None
    attempt: int
    crashes: int = 0
    worker_id: str | None = None
    max_run_seconds: float | None = None
    max_wait_seconds: float | None = None
    run_seconds: float = 0.0
    checkpoint_bytes: int = 0
    progress: JobProgress | None = None
    error: JobError | None = None
    waiting_reason: str | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None


class JobPage(Reply):
    items: list[JobRecord]
    next_cursor: str | None = None


class StepMetric(Reply):
    """The mean loss over the steps since the report before."""

    step: int
    epoch: int
    loss: float
    learning_rate: float
    images_per_second: float
    elapsed_seconds: float
    seconds_left: float


class EpochMetric(Reply):
    """What one pass over the training images came to; accuracies are shares from 0 to 1."""

    epoch: int
    step: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    learning_rate: float
    images_per_second: float
    elapsed_seconds: float
    seconds_left: float


class Metrics(Reply):
    """The metrics of a job, oldest first."""

    steps: list[StepMetric]
    epochs: list[EpochMetric]


class MetricPage(Metrics):
    has_more: bool
    next_cursor: str


class Event(Reply):
    """Something that happened to a job; `kind` is stable and meant for programs."""

    id: int
    created_at: datetime
    kind: str
    message: str
    data: dict[str, Any] = {}


class EventPage(Reply):
    items: list[Event]
    has_more: bool
    next_cursor: str


class StoredFile(Reply):
    """One file of a checkpoint or a model version."""

    name: str
    size_bytes: int
    sha256: str


class Checkpoint(Reply):
    """A state that training can go on from."""

    id: int
    attempt: int
    epoch: int
    step: int
    size_bytes: int
    created_at: datetime
    files: list[StoredFile] = []


class CheckpointList(Reply):
    items: list[Checkpoint]


class CalibrationBin(Reply):
    """Predictions whose confidence lies in (lower, upper]; null where there are none."""

    lower: float
    upper: float
    images: int
    confidence: float | None
    accuracy: float | None


class ClassReport(Reply):
    """One class against all others; null where a value is undefined."""

    name: str
    images: int
    predicted: int
    accuracy: float | None
    precision: float | None
    recall: float | None
    f1: float | None


class ClassifiedImage(Reply):
    """What a model answered on test image `index`."""

    index: int
    label: str
    predicted: str
    confidence: float


class ClassifiedImagePage(Reply):
    items: list[ClassifiedImage]
    total: int
    next_cursor: str | None = None


class Averages(Reply):
    """Plain means over the classes."""

    precision: float
    recall: float
    f1: float


class Report(Reply):
    """How good the model of a job is. Confusion matrix: row = true class, column = predicted."""

    dataset: str
    split: str
    images: int
    accuracy: float
    top_3_accuracy: float
    mean_loss: float
    expected_calibration_error: float
    calibration_bins: list[CalibrationBin]
    classes: list[ClassReport]
    macro_average: Averages
    confusion_matrix: list[list[int]]
    most_confident_mistakes: list[ClassifiedImage]


class ModelVersion(Reply):
    """One version of a model; manifest and files are there when it was asked for by itself."""

    name: str
    version: int
    job_id: int | None
    dataset: str
    network: str
    accuracy: float
    size_bytes: int
    created_at: datetime
    aliases: list[str] = []
    manifest: dict[str, Any] = {}
    files: list[StoredFile] = []


class ModelSummary(Reply):
    """A model by its newest version; `aliases` maps each alias to a version."""

    name: str
    newest: ModelVersion
    aliases: dict[str, int]


class ModelPage(Reply):
    items: list[ModelSummary]
    next_cursor: str | None = None


class Model(Reply):
    """A model with all its versions, newest first."""

    name: str
    aliases: dict[str, int]
    versions: list[ModelVersion]


class Alias(Reply):
    model: str
    alias: str
    version: int


class Dataset(Reply):
    """A data set; what is not known before it was fetched is null."""

    name: str
    description: str = ""
    state: str
    classes: list[str] = []
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
    layers: list[Layer] = []
    parameters: list[Parameter] = []
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
    unused_bytes: int | None
    checkpoints_bytes: int
    models_bytes: int
    free_bytes: int
    artifacts_free_bytes: int


class RankedClass(Reply):
    """One class of the ranking; `probability` is from 0 to 1."""

    class_name: str = Field(alias="class")
    class_index: int
    probability: float


class Prediction(RankedClass):
    """What a model says of one picture. `top_k` is best first."""

    # The name that the picture had in the request says nothing about it.
    model_config = ConfigDict(extra="ignore")

    top_k: list[RankedClass]
    probabilities: dict[str, float]


class Explanation(RankedClass):
    """What in a picture spoke for a class. `image` is the picture with the heat map, a PNG.

    `heat_map` has one number a pixel of the model's input, row by row: from -1 (spoke against the
    class) to 1 (spoke for it).
    """

    model: str
    version: int
    method: str
    heat_map: list[list[float]]
    image: Base64Bytes


class ImageError(Reply):
    """Why a picture has no prediction."""

    code: str
    message: str


class PredictReply(Reply):
    """The answers in the order of the pictures."""

    model: str
    version: int
    predictions: list[dict[str, Any]]


class ClassifiedPicture(Reply):
    """One of several pictures that were sent: it has a `prediction` or an `error`."""

    source: str = Field(description="Path of the picture, or its place where it came as bytes.")
    model: str | None = Field(description="Name of the model that answered.")
    version: int | None
    prediction: Prediction | None
    error: ImageError | None
