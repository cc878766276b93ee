"""A recorded step computes what the plain one computes, and neither waits for the device."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from store.packed import PackedDataset
from store.specs import TrainingSpec
from worker import networks
from worker.arithmetic import Arithmetic
from worker.optimizers import build_loss, build_optimizers
from worker.precision import Precision
from worker.steps import EagerStep, RecordedStep, Step, build_step
from worker.training import Training

CPU = torch.device("cpu")
PLAIN = Arithmetic("fp32", "contiguous")


def make_network() -> nn.Module:
    torch.manual_seed(0)
    return networks.build("lenet", channels=3, classes=10, height=32, width=32)


def make_batch(count: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, 32, 32, generator=generator)
    return images, torch.randint(10, (count,), generator=generator)


def make_step(network: nn.Module, spec: TrainingSpec, *, recorded: bool) -> Step:
    compute_loss = build_loss(spec, 10, CPU)
    optimizers = build_optimizers(spec, network)
    if recorded:
        return RecordedStep(network, compute_loss, optimizers)
    return EagerStep(network, compute_loss, optimizers, Precision("fp32", CPU))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"momentum": 0.0, "weight_decay": 0.01},
        {"loss": "mean_squared_error"},
        {"label_smoothing": 0.2},
    ],
    ids=str,
)
def test_a_recorded_step_computes_what_the_plain_step_computes(fields: dict[str, Any]) -> None:
    """Batches of changing size, as at an epoch's end; sums are rounded in another order."""
    spec = TrainingSpec(learning_rate=0.01, **fields)
    networks_of = [make_network(), make_network()]
    steps = [
        make_step(network, spec, recorded=recorded)
        for network, recorded in zip(networks_of, (True, False), strict=True)
    ]
    for seed, count in enumerate([4, 4, 1, 4, 3, 4]):
        batch = make_batch(count, seed)
        (loss, hits), (expected_loss, expected_hits) = (step(*batch) for step in steps)
        assert loss.item() == pytest.approx(expected_loss.item(), rel=1e-4)
        assert hits == expected_hits
    recorded, plain = (list(network.parameters()) for network in networks_of)
    for ours, theirs in zip(recorded, plain, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-5)


def test_a_recorded_step_gives_the_gradients_of_the_plain_step() -> None:
    network = make_network()
    twin = copy.deepcopy(network)
    spec = TrainingSpec()
    images, labels = make_batch(4, seed=1)
    make_step(network, spec, recorded=True)(images, labels)
    torch.autograd.backward(F.cross_entropy(twin(images), labels))
    for ours, theirs in zip(network.parameters(), twin.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(4, 6, 3, padding=1, stride=2),
        nn.Conv2d(4, 6, 3, dilation=2),
        nn.Conv2d(4, 6, 3, groups=2),
        nn.Conv2d(4, 6, 3, bias=False),
        nn.ConvTranspose2d(4, 6, 3),
    ],
    ids=str,
)
def test_every_kind_of_convolution_can_be_recorded(convolution: nn.Module) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), convolution, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 10)
    )
    twin = copy.deepcopy(network)
    images, labels = make_batch(4, seed=2)
    make_step(network, TrainingSpec(), recorded=True)(images, labels)
    torch.autograd.backward(F.cross_entropy(twin(images), labels))
    for ours, theirs in zip(network.parameters(), twin.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("arithmetic", "batch_numbers", "kind"),
    [
        (PLAIN, 4 * 3072, RecordedStep),
        (PLAIN, 512 * 3072, EagerStep),
        (Arithmetic("bf16", "contiguous"), 4 * 3072, EagerStep),
        (Arithmetic("fp32", "channels_last"), 4 * 3072, EagerStep),
    ],
)
def test_only_tiny_plain_batches_are_recorded(
    arithmetic: Arithmetic, batch_numbers: int, kind: type
) -> None:
    assert isinstance(choose(make_network(), arithmetic, batch_numbers), kind)


def test_a_network_with_buffers_is_not_recorded() -> None:
    """A batch normalisation's statistics would stay as they were at the recording."""
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3072, 10))
    assert isinstance(choose(network, PLAIN, 4 * 3072), EagerStep)


def test_a_network_with_frozen_weights_is_not_recorded() -> None:
    network = make_network()
    next(network.parameters()).requires_grad = False
    assert isinstance(choose(network, PLAIN, 4 * 3072), EagerStep)


def choose(network: nn.Module, arithmetic: Arithmetic, batch_numbers: int) -> Step:
    spec = TrainingSpec()
    return build_step(
        network,
        model=network,
        compute_loss=build_loss(spec, 10, CPU),
        optimizers=build_optimizers(spec, network),
        arithmetic=arithmetic,
        precision=Precision("fp32", CPU),
        batch_numbers=batch_numbers,
    )


@pytest.mark.parametrize("batch_size", [4, 40])
def test_no_step_waits_for_the_device(few_shapes: PackedDataset, batch_size: int) -> None:
    """The steps between two reports read one number back: the running loss."""
    spec = TrainingSpec(
        dataset="shapes",
        batch_size=batch_size,
        epochs=50,
        report_every_steps=2,
        precision="fp32",
        memory_format="contiguous",
    )
    reports = iter(Training(spec, few_shapes, CPU))
    next(reports)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        next(reports)
    calls = {event.key: event.count for event in profile.key_averages()}
    assert calls["aten::_local_scalar_dense"] == 1
