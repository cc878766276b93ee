"""The report's numbers, beside independent computations of them."""

from collections import Counter

import numpy as np
import pytest

from store.evaluations import EvaluationReport
from store.packed import Labels
from worker.evaluation import Probabilities, evaluate

CLASSES = ("ant", "bee", "cow", "dog", "eel")


def make_predictions(count: int = 400, seed: int = 0) -> tuple[Probabilities, Labels]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 5, count)
    scores = random.normal(size=(count, 5)) * 2
    scores[np.arange(count), labels] += 1.5
    exponentials = np.exp(scores)
    return (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32), labels


def report_on(probabilities: Probabilities, labels: Labels) -> EvaluationReport:
    return evaluate(probabilities, labels, classes=CLASSES, dataset="animals", split="test")


def rows(*scores: list[float]) -> Probabilities:
    return np.array(scores, dtype=np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_the_counts_equal_a_recount_one_by_one(seed: int) -> None:
    probabilities, labels = make_predictions(seed=seed)
    report = report_on(probabilities, labels)
    pairs = Counter(
        (int(label), max(range(5), key=lambda c: row[c]))
        for label, row in zip(labels, probabilities.tolist(), strict=True)
    )
    assert report.confusion_matrix == [[pairs[t, p] for p in range(5)] for t in range(5)]
    assert report.accuracy == sum(pairs[c, c] for c in range(5)) / 400
    for c, of_class in enumerate(report.classes):
        truly = sum(pairs[c, p] for p in range(5))
        said = sum(pairs[t, c] for t in range(5))
        precision, recall = pairs[c, c] / said, pairs[c, c] / truly
        assert (of_class.name, of_class.images, of_class.predicted) == (CLASSES[c], truly, said)
        assert of_class.precision == pytest.approx(precision)
        assert of_class.recall == of_class.accuracy == pytest.approx(recall)
        assert of_class.f1 == pytest.approx(2 * precision * recall / (precision + recall))


def test_the_macro_average_is_the_mean_over_the_classes() -> None:
    report = report_on(*make_predictions())
    f1 = [of_class.f1 or 0 for of_class in report.classes]
    assert report.macro_average.f1 == pytest.approx(sum(f1) / 5)


def test_top_3_and_loss_equal_a_recount() -> None:
    probabilities, labels = make_predictions()
    report = report_on(probabilities, labels)
    hits, loss = 0, 0.0
    for label, row in zip(labels, probabilities.astype(float), strict=True):
        hits += int(sum(row > row[label]) < 3)
        loss -= float(np.log(row[label])) / 400
    assert report.top_3_accuracy == hits / 400
    assert report.mean_loss == pytest.approx(loss)


def test_the_calibration_error_equals_the_definition() -> None:
    """Guo et al. (2017), equation 3, bin by bin."""
    probabilities, labels = make_predictions()
    report = report_on(probabilities, labels)
    confidence = probabilities.max(axis=1).astype(float)
    right = probabilities.argmax(axis=1) == labels
    error = 0.0
    for m in range(15):
        inside = (confidence > m / 15) & (confidence <= (m + 1) / 15)
        assert report.calibration_bins[m].images == inside.sum()
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert report.expected_calibration_error == pytest.approx(error)
    assert sum(one.images for one in report.calibration_bins) == 400


def test_a_perfectly_calibrated_model_has_no_calibration_error() -> None:
    probabilities = rows(*[[0.75, 0.25, 0, 0, 0]] * 4)
    report = report_on(probabilities, np.array([0, 0, 0, 1]))
    assert report.expected_calibration_error == pytest.approx(0)


def test_certainty_falls_into_the_last_bin() -> None:
    report = report_on(rows([1, 0, 0, 0, 0], [0, 1, 0, 0, 0]), np.array([0, 2]))
    assert report.calibration_bins[-1].images == 2
    assert report.expected_calibration_error == 0.5
    assert report.calibration_bins[0].confidence is None


def test_a_probability_of_zero_leaves_the_loss_finite() -> None:
    report = report_on(rows([1, 0, 0, 0, 0]), np.array([1]))
    assert 80 < report.mean_loss < 100


def test_what_is_undefined_is_null() -> None:
    """Nothing was called a bee, and no image shows a cow."""
    report = report_on(rows([1, 0, 0, 0, 0], [0, 0, 1, 0, 0]), np.array([0, 1]))
    ant, bee, cow, _, _ = report.classes
    assert (ant.precision, ant.recall, ant.f1) == (1, 1, 1)
    assert (bee.precision, bee.recall, bee.f1) == (None, 0, None)
    assert (cow.precision, cow.recall, cow.f1) == (0, None, None)
    assert report.macro_average.precision == 0.2


def test_a_class_that_is_never_right_has_an_f1_of_zero() -> None:
    report = report_on(rows([1, 0, 0, 0, 0], [0, 1, 0, 0, 0]), np.array([1, 0]))
    assert report.classes[0].f1 == 0


def test_of_equal_probabilities_the_first_class_wins() -> None:
    report = report_on(rows([0.2] * 5, [0.2] * 5), np.array([0, 3]))
    assert report.accuracy == 0.5
    assert report.top_3_accuracy == 0.5


def test_the_most_confident_mistakes_come_first() -> None:
    probabilities, labels = make_predictions(count=2000)
    report = report_on(probabilities, labels)
    mistakes = report.most_confident_mistakes
    assert len(mistakes) == 25
    confidences = [mistake.confidence for mistake in mistakes]
    assert confidences == sorted(confidences, reverse=True)
    wrong = probabilities.argmax(axis=1) != labels
    assert confidences[-1] == pytest.approx(np.sort(probabilities.max(axis=1)[wrong])[-25])
    for mistake in mistakes:
        assert mistake.label == CLASSES[labels[mistake.index]]
        assert mistake.predicted == CLASSES[probabilities[mistake.index].argmax()]
        assert mistake.label != mistake.predicted


def test_a_model_without_mistakes_has_none_to_show() -> None:
    report = report_on(np.eye(5, dtype=np.float32), np.arange(5))
    assert report.most_confident_mistakes == []
    assert report.accuracy == 1
