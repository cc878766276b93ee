"""The shape of `report.json`: how good a model is, on which classes, and where it is wrong."""

from typing import Literal

from pydantic import BaseModel, Field


class CalibrationBin(BaseModel):
    """Predictions whose confidence lies in (lower, upper]."""

    lower: float
    upper: float
    images: int
    confidence: float | None = Field(description="Mean confidence; null for an empty bin.")
    accuracy: float | None = Field(description="Share that is right; null for an empty bin.")


class ClassReport(BaseModel):
    """One class against all others.

    A value is null where it is undefined: the precision of a class that was never predicted, the
    recall of a class without test images, F1 where either is.
    """

    name: str
    images: int
    predicted: int
    accuracy: float | None = Field(description="Share of its images that are right: the recall.")
    precision: float | None
    recall: float | None
    f1: float | None


class Mistake(BaseModel):
    """A wrong prediction; `index` counts the pictures of the split."""

    index: int
    label: str
    predicted: str
    confidence: float


class Averages(BaseModel):
    """Plain means over the classes; an undefined value counts as 0."""

    precision: float
    recall: float
    f1: float


class EvaluationReport(BaseModel):
    """What a model answers on the test images, in numbers."""

    dataset: str
    split: Literal["train", "test"]
    images: int
    accuracy: float
    top_3_accuracy: float
    mean_loss: float = Field(description="Mean of -log(probability of the true class).")
    expected_calibration_error: float
    calibration_bins: list[CalibrationBin]
    classes: list[ClassReport]
    macro_average: Averages
    confusion_matrix: list[list[int]] = Field(
        description="Row = true class, column = predicted class."
    )
    most_confident_mistakes: list[Mistake]
