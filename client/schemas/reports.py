"""How good a model is."""

from client.schemas.base import Reply


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
