"""Number and memory formats: as the spec says, or measured."""

import pytest
import torch
from torch import Tensor, nn

from store.packed import PackedDataset
from store.specs import TrainingSpec
from worker.arithmetic import Arithmetic, choose
from worker.networks.layers import Convolution
from worker.precision import Precision
from worker.reports import Notice
from worker.training import Training

CPU = torch.device("cpu")


def test_named_formats_are_taken_without_measuring() -> None:
    spec = TrainingSpec(precision="bf16", memory_format="channels_last")
    chosen = choose(spec, Convolution(3, 8), torch.zeros(4, 3, 8, 8))
    assert chosen == Arithmetic("bf16", "channels_last")
    assert list(chosen.list_notices()) == []


def test_auto_tells_what_each_candidate_took(few_shapes: PackedDataset) -> None:
    spec = TrainingSpec(dataset="shapes", epochs=1, batch_size=20, network="whitened_small")
    notice = next(iter(Training(spec, few_shapes, CPU)))
    assert isinstance(notice, Notice)
    times = notice.data["milliseconds"]
    assert set(times) == {
        f"{precision} {memory_format}"
        for precision in ("fp32", "bf16")
        for memory_format in ("contiguous", "channels_last")
    }
    chosen = f"{notice.data['precision']} {notice.data['memory_format']}"
    is_fastest = times[chosen] == min(times.values())
    nothing_is_clearly_faster = times["fp32 contiguous"] <= 1.25 * min(times.values())
    assert is_fastest or (chosen == "fp32 contiguous" and nothing_is_clearly_faster)


def test_measuring_leaves_the_network_as_it_was(few_shapes: PackedDataset) -> None:
    def make(precision: str) -> dict[str, torch.Tensor]:
        spec = TrainingSpec.model_validate(
            {"dataset": "shapes", "network": "whitened_small", "precision": precision}
        )
        return Training(spec, few_shapes, CPU).network.state_dict()

    measured, named = make("auto"), make("fp32")
    assert all(torch.equal(measured[name], named[name]) for name in named)


def test_a_resumed_run_keeps_the_formats_it_began_with(few_shapes: PackedDataset) -> None:
    spec = TrainingSpec(dataset="shapes", epochs=1, batch_size=50)
    first = Training(spec, few_shapes, CPU, should_stop=lambda: True)
    list(first)
    second = Training(spec, few_shapes, CPU, resume=first.state(), should_stop=lambda: True)
    # Nothing is measured again, so nothing is told.
    assert not any(isinstance(report, Notice) for report in second)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_the_test_images_are_judged_in_the_formats_of_the_training(
    few_shapes: PackedDataset, precision: str, dtype: torch.dtype
) -> None:
    fields = {"precision": precision, "memory_format": "channels_last", "batch_size": 100}
    spec = {"dataset": "shapes", "network": "whitened_small", "epochs": 1, **fields}
    training = Training(TrainingSpec.model_validate(spec), few_shapes, CPU)
    seen: set[tuple[bool, torch.dtype, bool]] = set()

    def record(network: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        is_ordered = inputs[0].is_contiguous(memory_format=torch.channels_last)
        seen.add((network.training, outputs.dtype, is_ordered))

    training.network.register_forward_hook(record)
    list(training)
    training.measure_accuracy()
    assert seen == {(True, dtype, True), (False, dtype, True)}


def test_fp16_gradients_that_would_vanish_are_kept_by_a_scale() -> None:
    """2^-26 is nought in fp16; what overflows is left out and lowers the scale."""
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    fp16 = Precision("fp16", CPU)

    def learn(factor: float) -> None:
        scores = (weight.half() * 2.0**-13).float()
        fp16.backward_and_update((scores * factor).sum(), [optimizer])

    learn(2.0**-13)
    assert weight.item() == -(2.0**-26)
    before = fp16.state()["scale"]
    learn(2.0**60)
    assert weight.item() == -(2.0**-26)
    assert fp16.state()["scale"] == before / 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_fp16_has_a_scale_on_a_gpu_and_bf16_needs_none() -> None:
    cuda = torch.device("cuda")
    assert Precision("fp16", cuda).state()["scale"] > 1
    assert Precision("bf16", cuda).state() == {}
