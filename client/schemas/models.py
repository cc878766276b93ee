"""Published models, and what they say of pictures."""

from datetime import datetime
from typing import Any

from pydantic import Base64Bytes, ConfigDict, Field

from client.schemas.base import Reply
from client.schemas.jobs import StoredFile


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
    aliases: list[str] = Field(default_factory=list)
    manifest: dict[str, Any] = Field(default_factory=dict)
    files: list[StoredFile] = Field(default_factory=list)


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
