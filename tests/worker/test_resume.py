"""Stopping and going on: on the CPU, as if nothing had happened, bit for bit."""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors.torch import load

from store.errors import ArtifactError, TrainingError
from store.packed import PackedDataset
from store.reports import EpochReport, StepReport
from store.specs import TrainingSpec
from worker.reports import Report
from worker.training import Training

CPU = torch.device("cpu")
Numbers = list[tuple[object, ...]]


def make_spec(dataset: PackedDataset, **fields: Any) -> TrainingSpec:
    plain = {"dataset": dataset.name, "precision": "fp32", "memory_format": "contiguous"}
    own = {"epochs": 3, "batch_size": 7, "learning_rate": 0.01, "report_every_steps": 5}
    return TrainingSpec(**{**plain, **own, **fields})


def numbers_of(report: Report) -> tuple[object, ...] | None:
    """What a report says about the computation; times differ from run to run."""
    if isinstance(report, StepReport):
        return (report.epoch, report.step, report.loss, report.learning_rate)
    if isinstance(report, EpochReport):
        trained = (report.train_loss, report.train_accuracy)
        return (report.epoch, report.step, *trained, report.test_loss, report.test_accuracy)
    return None


class StopsAfter:
    """Says stop at the question number `count`; each step asks once."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def go_on(
    spec: TrainingSpec, dataset: PackedDataset, state: dict[str, bytes] | None, questions: int
) -> tuple[Training, Numbers]:
    training = Training(spec, dataset, CPU, resume=state, should_stop=StopsAfter(questions))
    numbers = [numbers for report in training if (numbers := numbers_of(report))]
    return training, numbers


def weights_of(training: Training) -> dict[str, torch.Tensor]:
    files = training.state()
    return load(files["training.safetensors"])


def check_equal(first: Training, second: Training) -> None:
    ours, theirs = weights_of(first), weights_of(second)
    assert set(ours) == set(theirs)
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name


PIECES = [[1], [6, 3], [13, 2, 1], [14], [15, 15], [40], [1, 2, 3, 4, 5, 6, 7]]
KINDS = [
    {},
    {"momentum": 0.0},
    {"optimizer": "adam"},
    {"optimizer": "adamw", "schedule": "one_cycle", "label_smoothing": 0.1},
    {"augmentation": "flip_crop", "color": "grey"},
    {"batch_size": 45, "loss": "mean_squared_error"},
    {"precision": "fp16"},
]


@pytest.mark.parametrize(
    ("fields", "stops"),
    [({}, stops) for stops in PIECES] + [(fields, [1, 2, 3, 9]) for fields in KINDS],
    ids=str,
)
def test_a_run_in_pieces_equals_a_run_in_one(
    bright_or_dark: PackedDataset, fields: dict[str, Any], stops: list[int]
) -> None:
    """13 steps make an epoch of 90 images: some stops fall twice in one, some in an evaluation."""
    spec = make_spec(bright_or_dark, **fields)
    whole, expected = go_on(spec, bright_or_dark, None, questions=10_000)
    state, numbers = None, []
    for questions in [*stops, 10_000]:
        part, more = go_on(spec, bright_or_dark, state, questions)
        numbers += more
        state = part.state()
    assert part.finished
    assert numbers == expected
    check_equal(part, whole)


def test_a_state_taken_at_every_report_leads_to_the_same_end(
    bright_or_dark: PackedDataset,
) -> None:
    spec = make_spec(bright_or_dark)
    whole = Training(spec, bright_or_dark, CPU)
    states = []
    expected: Numbers = []
    for report in whole:
        expected += filter(None, [numbers_of(report)])
        states.append((len(expected), whole.state()))
    for count, state in states:
        again, numbers = go_on(spec, bright_or_dark, state, questions=10_000)
        assert numbers == expected[count:]
        check_equal(again, whole)


def test_a_stop_is_heard_at_the_next_step(bright_or_dark: PackedDataset) -> None:
    training, _ = go_on(make_spec(bright_or_dark), bright_or_dark, None, questions=4)
    assert training.step == 4
    assert not training.finished


def test_a_stop_is_heard_while_the_test_images_are_judged(bright_or_dark: PackedDataset) -> None:
    training, numbers = go_on(make_spec(bright_or_dark), bright_or_dark, None, questions=13)
    assert (training.epoch, training.step) == (0, 13)
    assert [row[:2] for row in numbers] == [(1, 5), (1, 10)]


def test_a_finished_run_has_nothing_left_to_do(bright_or_dark: PackedDataset) -> None:
    spec = make_spec(bright_or_dark, epochs=1)
    whole, _ = go_on(spec, bright_or_dark, None, questions=10_000)
    again, numbers = go_on(spec, bright_or_dark, whole.state(), questions=10_000)
    assert again.finished
    assert numbers == []
    check_equal(again, whole)


def test_the_position_is_known_before_the_first_step(bright_or_dark: PackedDataset) -> None:
    spec = make_spec(bright_or_dark)
    part, _ = go_on(spec, bright_or_dark, None, questions=15)
    again = Training(spec, bright_or_dark, CPU, resume=part.state())
    assert (again.epoch, again.step, again.steps) == (part.epoch, part.step, 39)


def test_elapsed_time_goes_on(bright_or_dark: PackedDataset) -> None:
    spec = make_spec(bright_or_dark)
    part, _ = go_on(spec, bright_or_dark, None, questions=20)
    files = part.state()
    about = json.loads(files["training.json"])
    files["training.json"] = json.dumps(about | {"elapsed_seconds": 1000.0}).encode()
    reports = list(Training(spec, bright_or_dark, CPU, resume=files))
    numbers = [report for report in reports if isinstance(report, StepReport | EpochReport)]
    assert all(1000 < report.elapsed_seconds < 1060 for report in numbers)


def test_the_state_holds_no_pickle(bright_or_dark: PackedDataset) -> None:
    training, _ = go_on(make_spec(bright_or_dark), bright_or_dark, None, questions=3)
    files = training.state()
    assert set(files) == {"training.safetensors", "training.json"}
    json.loads(files["training.json"])
    load(files["training.safetensors"])


def test_the_state_of_another_spec_is_refused(bright_or_dark: PackedDataset) -> None:
    training, _ = go_on(make_spec(bright_or_dark), bright_or_dark, None, questions=3)
    with pytest.raises(TrainingError, match="another spec"):
        other = make_spec(bright_or_dark, seed=1)
        Training(other, bright_or_dark, CPU, resume=training.state())


def test_the_state_of_changed_pictures_is_refused(bright_or_dark: PackedDataset) -> None:
    spec = make_spec(bright_or_dark)
    training, _ = go_on(spec, bright_or_dark, None, questions=3)
    changed = replace(bright_or_dark, fingerprint="changed")
    with pytest.raises(TrainingError, match="has changed since"):
        Training(spec, changed, CPU, resume=training.state())


@pytest.mark.parametrize("name", ["training.safetensors", "training.json"])
def test_a_damaged_state_is_refused(bright_or_dark: PackedDataset, name: str) -> None:
    spec = make_spec(bright_or_dark)
    training, _ = go_on(spec, bright_or_dark, None, questions=3)
    files = training.state()
    files[name] = files[name][: len(files[name]) // 2]
    with pytest.raises(ArtifactError, match="incomplete or damaged"):
        Training(spec, bright_or_dark, CPU, resume=files)
