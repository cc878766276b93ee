"""The report on a model: how good it is, on which classes, and where it is wrong."""

import numpy as np
from numpy.typing import NDArray

from store.evaluations import (
    Averages,
    CalibrationBin,
    ClassReport,
    EvaluationReport,
    Mistake,
)
from store.packed import Labels, Split

Probabilities = NDArray[np.float32]

CALIBRATION_BINS = 15
TOP_K = 3
MISTAKES_SHOWN = 25


def evaluate(
    probabilities: Probabilities,
    labels: Labels,
    *,
    classes: tuple[str, ...],
    dataset: str,
    split: Split,
) -> EvaluationReport:
    """Return the report on `probabilities` (N, classes) for true classes `labels` (N,).

    The predicted class is the one of highest probability, the first of equal ones.
    """
    predicted = probabilities.argmax(axis=1)
    matrix = _confusion_matrix(labels, predicted, len(classes))
    class_reports = [_report_class(matrix, index, name) for index, name in enumerate(classes)]
    error, bins = _calibrate(probabilities.max(axis=1), predicted == labels)
    return EvaluationReport(
        dataset=dataset,
        split=split,
        images=len(labels),
        accuracy=float((predicted == labels).mean()),
        top_3_accuracy=_top_k_accuracy(probabilities, labels),
        mean_loss=_mean_loss(probabilities, labels),
        expected_calibration_error=error,
        calibration_bins=bins,
        classes=class_reports,
        macro_average=_average(class_reports),
        confusion_matrix=matrix.tolist(),
        most_confident_mistakes=_find_mistakes(probabilities, labels, classes),
    )


def _confusion_matrix(labels: Labels, predicted: Labels, classes: int) -> NDArray[np.int64]:
    counts = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes)


def _report_class(matrix: NDArray[np.int64], index: int, name: str) -> ClassReport:
    right = int(matrix[index, index])
    images, predicted = int(matrix[index].sum()), int(matrix[:, index].sum())
    precision, recall = _divide(right, predicted), _divide(right, images)
    # 2PR / (P + R) without the division by zero of a class that is never right.
    undefined = precision is None or recall is None
    f1 = None if undefined else _divide(2 * right, images + predicted)
    return ClassReport(
        name=name,
        images=images,
        predicted=predicted,
        accuracy=recall,
        precision=precision,
        recall=recall,
        f1=f1,
    )


def _divide(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _average(reports: list[ClassReport]) -> Averages:
    return Averages(
        precision=float(np.mean([report.precision or 0 for report in reports])),
        recall=float(np.mean([report.recall or 0 for report in reports])),
        f1=float(np.mean([report.f1 or 0 for report in reports])),
    )


def _top_k_accuracy(probabilities: Probabilities, labels: Labels) -> float:
    # Ranked as `argmax` ranks: of equal probabilities the first class wins.
    ranked = np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP_K]  # (N, k)
    return float((ranked == labels[:, None]).any(axis=1).mean())


def _mean_loss(probabilities: Probabilities, labels: Labels) -> float:
    # The floor keeps a probability that was rounded to 0 from making the mean infinite.
    of_truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(of_truth, np.finfo(np.float32).tiny)).mean())


def _calibrate(
    confidence: Probabilities, right: NDArray[np.bool_]
) -> tuple[float, list[CalibrationBin]]:
    """Return the expected calibration error and its bins.

    Guo et al., "On Calibration of Modern Neural Networks" (2017), equation 3: the mean gap
    between confidence and accuracy, over bins of equal width, weighted by their images.
    """
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    of_bin = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(int) - 1, 0, None)
    of_bin = np.minimum(of_bin, CALIBRATION_BINS - 1)
    error, bins = 0.0, []
    for index in range(CALIBRATION_BINS):
        inside = of_bin == index
        images = int(inside.sum())
        mean_confidence = float(confidence[inside].mean(dtype=np.float64)) if images else None
        accuracy = float(right[inside].mean()) if images else None
        if mean_confidence is not None and accuracy is not None:
            error += images / len(right) * abs(accuracy - mean_confidence)
        bins.append(
            CalibrationBin(
                lower=edges[index],
                upper=edges[index + 1],
                images=images,
                confidence=mean_confidence,
                accuracy=accuracy,
            )
        )
    return error, bins


def _find_mistakes(
    probabilities: Probabilities, labels: Labels, classes: tuple[str, ...]
) -> list[Mistake]:
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES_SHOWN]
    return [
        Mistake(
            index=int(index),
            label=classes[labels[index]],
            predicted=classes[predicted[index]],
            confidence=float(confidence[index]),
        )
        for index in worst
    ]
