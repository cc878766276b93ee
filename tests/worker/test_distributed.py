"""A job on two processes computes what one process computes."""

import multiprocessing
import os
import queue
import signal
import struct
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from store.errors import TrainingError
from store.packed import PackedDataset
from store.reports import EpochReport
from store.specs import TrainingSpec
from worker.batches import Batches
from worker.distributed import DistributedTraining, Mailbox
from worker.training import Training

CPU = torch.device("cpu")
# Each starts two processes, which import torch anew.
pytestmark = pytest.mark.timeout(240)


def make_spec(dataset: PackedDataset, **fields: Any) -> TrainingSpec:
    plain = {"dataset": dataset.name, "precision": "fp32", "memory_format": "contiguous"}
    own = {"epochs": 2, "learning_rate": 0.02, "parallelism": "distributed"}
    return TrainingSpec(**{**plain, **own, **fields})


def epochs_of(training: Training | DistributedTraining) -> list[EpochReport]:
    return [report for report in training if isinstance(report, EpochReport)]


# 90 images: the last batch is 10 on two processes, or one image, which leaves none for the second.
@pytest.mark.parametrize("batch_size", [40, 89])
def test_two_processes_compute_what_one_computes(
    bright_or_dark: PackedDataset, batch_size: int
) -> None:
    spec = make_spec(bright_or_dark, batch_size=batch_size)
    one = Training(spec, bright_or_dark, CPU)
    expected = epochs_of(one)
    two = DistributedTraining(spec, bright_or_dark, CPU)
    actual = epochs_of(two)

    assert two.finished
    assert (two.epoch, two.step, two.steps) == (one.epoch, one.step, one.steps)
    for ours, theirs in zip(actual, expected, strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, abs=1e-4)
        assert ours.train_accuracy == pytest.approx(theirs.train_accuracy)
        assert ours.test_loss == pytest.approx(theirs.test_loss, abs=1e-4)
    # Also the names are the network's own, without `module.` before them.
    weights = two.result.state_dict()
    for name, tensor in one.result.state_dict().items():
        assert torch.allclose(weights[name], tensor, atol=1e-4), name


def test_a_stopped_job_goes_on_where_it_was(few_shapes: PackedDataset) -> None:
    spec = make_spec(few_shapes, batch_size=10, epochs=3, report_every_steps=1)
    first = DistributedTraining(spec, few_shapes, CPU, should_stop=lambda: True)
    list(first)
    assert not first.finished
    assert first.step < first.steps
    second = DistributedTraining(spec, few_shapes, CPU, resume=first.state())
    assert second.step == first.step
    reports = epochs_of(second)
    assert second.finished
    assert [report.epoch for report in reports][-1] == 3
    expected = epochs_of(Training(spec, few_shapes, CPU))[-1]
    assert reports[-1].test_loss == pytest.approx(expected.test_loss, abs=1e-3)


def test_a_network_with_statistics_learns_on_two_processes(bright_or_dark: PackedDataset) -> None:
    spec = make_spec(
        bright_or_dark,
        network="whitened_small",
        optimizer="muon",
        batch_size=20,
        epochs=3,
        validation_share=0.2,
        patience_epochs=3,
    )
    training = DistributedTraining(spec, bright_or_dark, CPU)
    assert epochs_of(training)[-1].test_accuracy > 0.9


def test_statistics_are_those_of_the_first_process(bright_or_dark: PackedDataset) -> None:
    """As DistributedDataParallel has it: each process normalises its own images of a batch."""
    spec = make_spec(bright_or_dark, network="whitened_small", batch_size=90, epochs=1)
    two = DistributedTraining(spec, bright_or_dark, CPU)
    list(two)
    network = Training(spec, bright_or_dark, CPU).network.train()
    ((images, _),) = Batches(bright_or_dark, spec, CPU, network.smallest_side).epoch(0, 0)
    network(images[0::2])  # one step: every other image is the first process's
    published = two.result.state_dict()
    statistics = [name for name in published if "running" in name]
    assert len(statistics) == 12
    for name in statistics:
        assert torch.allclose(published[name], network.state_dict()[name], atol=1e-5), name


def test_what_ends_a_process_ends_the_job_with_its_words(few_shapes: PackedDataset) -> None:
    spec = make_spec(few_shapes, batch_size=10, learning_rate=100.0, report_every_steps=5)
    training = DistributedTraining(spec, few_shapes, CPU)
    with pytest.raises(TrainingError, match="not finite"):
        list(training)


def list_children() -> set[int]:
    return {
        int(pid)
        for path in Path("/proc/self/task").glob("*/children")
        for pid in path.read_text().split()
    }


def test_a_process_that_is_killed_ends_the_job_with_a_sentence(few_shapes: PackedDataset) -> None:
    before = list_children()
    spec = make_spec(few_shapes, batch_size=10, epochs=1000, report_every_steps=1)
    reports = iter(DistributedTraining(spec, few_shapes, CPU))
    next(reports)
    started = [pid for pid in list_children() - before if b"spawn_main" in read_command(pid)]
    os.kill(max(started), signal.SIGKILL)
    with pytest.raises(TrainingError, match=r"process [01] of .* ended with SIGKILL.*retry"):
        list(reports)


def read_command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_half_a_message_keeps_nobody_waiting() -> None:
    """What a process leaves in the pipe that is killed while it writes."""
    messages = multiprocessing.get_context("spawn").Queue()
    messages.cancel_join_thread()
    os.write(messages._writer.fileno(), struct.pack("!i", 1_000_000) + b"half")  # type: ignore[attr-defined]  # noqa: SLF001
    mailbox = Mailbox(messages)
    mailbox.start()
    with pytest.raises(queue.Empty):
        mailbox.arrived.get(timeout=0.2)
    assert mailbox in threading.enumerate()
    assert mailbox.daemon
