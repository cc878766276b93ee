"""Number and memory formats: as the spec says, or measured."""

import torch

from store.packed import PackedDataset
from store.specs import TrainingSpec
from worker.arithmetic import Arithmetic, choose
from worker.networks.layers import Convolution
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
