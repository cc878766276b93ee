"""Devices, and a batch split over several: as far as a machine without GPUs can tell."""

import copy
from threading import Thread

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from store.errors import TrainingError
from store.packed import PackedDataset
from store.specs import TrainingSpec
from worker import checkpoints, networks, parallel
from worker.optimizers import build_loss, build_optimizers
from worker.parallel import InPrecision, choose_device, observe_replicas, wrap
from worker.precision import Precision
from worker.steps import EagerStep
from worker.training import Training

CPU = torch.device("cpu")
without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
with_several = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")


class SplitsInTwo(nn.Module):
    """Runs a network on both halves of a batch, as DataParallel does on two GPUs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([self.network(half) for half in images.chunk(2)])


def make_network() -> nn.Module:
    return networks.build("lenet", channels=3, classes=10, height=32, width=32)


def test_auto_takes_what_is_there() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose_device("auto") == torch.device(expected)
    assert choose_device("cpu") == torch.device("cpu")


@without_cuda
@pytest.mark.parametrize("name", ["cuda", "cuda:0"])
def test_cuda_that_is_missing_is_a_clear_error(name: str) -> None:
    with pytest.raises(TrainingError, match=f"TENFOLD_DEVICE is {name}.* 0 CUDA devices: set it"):
        choose_device(name)


@pytest.mark.parametrize("parallelism", ["auto", "single", "data_parallel"])
def test_without_cuda_the_network_passes_through(parallelism: str) -> None:
    """So its weights keep their names, without `module.` before them."""
    network = make_network()
    spec = TrainingSpec.model_validate({"parallelism": parallelism})
    assert wrap(network, spec, CPU, Precision("fp32", CPU)) is network


@pytest.mark.parametrize("wrapper", ["compiled", "data_parallel"])
def test_what_wraps_the_network_does_not_show_in_its_state(
    wrapper: str, few_shapes: PackedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checkpoints and models have the network's own names: no `_orig_mod.`, no `module.`."""
    compilation = "default" if wrapper == "compiled" else "off"
    if wrapper == "data_parallel":
        monkeypatch.setattr(parallel, "wrap", lambda network, *_: nn.DataParallel(network))
    spec = TrainingSpec.model_validate(
        {
            "dataset": "shapes",
            "precision": "fp32",
            "memory_format": "contiguous",
            "compilation": compilation,
        }
    )
    training = Training(spec, few_shapes, CPU)
    expected = make_network().state_dict().keys()
    assert training.result.state_dict().keys() == expected
    saved = checkpoints.from_files(training.state()).part("network")
    assert saved.keys() == expected
    assert Training(spec, few_shapes, CPU, resume=training.state()).step == 0


def test_the_notice_tells_what_each_replica_received() -> None:
    network = make_network()
    notice = observe_replicas(SplitsInTwo(network), network, torch.zeros(5, 3, 32, 32))
    assert notice.kind == "data_parallel"
    assert notice.data["gpus"] == 2
    assert notice.data["output_size"] == [5, 10]
    sizes = [(one["input_size"], one["output_size"]) for one in notice.data["replicas"]]
    assert sizes == [([3, 3, 32, 32], [3, 10]), ([2, 3, 32, 32], [2, 10])]
    assert "split over 2 GPUs: cpu received [3, 3, 32, 32] and gave [3, 10]" in notice.message


def test_looking_at_the_replicas_changes_nothing() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    observe_replicas(SplitsInTwo(network), network, torch.randn(4, 3, 8, 8))
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not network._forward_hooks  # noqa: SLF001 -- no public way to count them


def test_the_number_format_reaches_the_threads_of_the_replicas() -> None:
    network = nn.Linear(4, 2)
    formats: list[torch.dtype] = []
    network.register_forward_hook(lambda _module, _inputs, outputs: formats.append(outputs.dtype))
    replica = InPrecision(network, Precision("bf16", CPU))
    thread = Thread(target=replica, args=(torch.zeros(3, 4),))
    thread.start()
    thread.join()
    assert formats == [torch.bfloat16]


def take_step(
    model: nn.Module, network: nn.Module, images: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    spec, device = TrainingSpec(learning_rate=0.1), images.device
    return EagerStep(
        model,
        build_loss(spec, 10, device),
        build_optimizers(spec, network),
        Precision("fp32", device),
    )(images, labels)


def check_shared_step(model: nn.Module, network: nn.Module, twin: nn.Module, count: int) -> None:
    """Check that a step of `model` around `network` is the step of its `twin` alone."""
    device = next(network.parameters()).device
    images = torch.randn(count, 3, 32, 32, device=device)
    labels = torch.randint(10, (count,), device=device)
    loss, hits = take_step(model, network, images, labels)
    expected_loss, expected_hits = take_step(twin, twin, images, labels)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(expected_loss.item(), rel=1e-4)
    assert hits == expected_hits
    for ours, theirs in zip(network.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("count", [5, 4, 1])
def test_an_uneven_batch_counts_every_image_once(count: int) -> None:
    """The loss is a mean over the gathered scores, not a mean of the replicas' means."""
    network = make_network()
    check_shared_step(SplitsInTwo(network), network, copy.deepcopy(network), count)


@with_several
@pytest.mark.parametrize("count", [1, 5, 7])
def test_gpus_count_every_image_of_an_uneven_batch_once(count: int) -> None:
    """Five images on four GPUs are 2, 2 and 1: three replicas. Gradients are summed."""
    network = make_network().cuda()
    cuda = torch.device("cuda")
    model = wrap(network, TrainingSpec(), cuda, Precision("fp32", cuda))
    check_shared_step(model, network, copy.deepcopy(network), count)
    notice = observe_replicas(model, network, torch.zeros(count, 3, 32, 32, device="cuda"))
    assert sum(replica["input_size"][0] for replica in notice.data["replicas"]) == count


@with_several
def test_statistics_of_data_parallel_are_those_of_the_first_gpu() -> None:
    cuda = torch.device("cuda")
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten()).cuda()
    alone = copy.deepcopy(network)
    images = torch.randn(8, 3, 4, 4, device="cuda")
    wrap(network, TrainingSpec(), cuda, Precision("fp32", cuda))(images)
    alone(images.chunk(torch.cuda.device_count())[0])
    for name, value in alone.state_dict().items():
        assert torch.allclose(network.state_dict()[name], value), name


def test_a_compiled_network_is_not_split_over_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its replicas would run uncompiled."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    network, cuda = make_network(), torch.device("cuda")
    spec = TrainingSpec(compilation="default", parallelism="auto")
    assert wrap(network, spec, cuda, Precision("fp32", CPU)) is network


def test_compiled_replicas_are_refused_with_what_to_do() -> None:
    with pytest.raises(ValidationError, match="set compilation to off, or parallelism to"):
        TrainingSpec(compilation="default", parallelism="data_parallel")


@with_several
def test_several_gpus_share_a_batch() -> None:
    network = make_network().cuda()
    cuda = torch.device("cuda")
    model = wrap(network, TrainingSpec(), cuda, Precision("bf16", cuda))
    assert isinstance(model, nn.DataParallel)
    notice = observe_replicas(model, network, torch.zeros(4, 3, 32, 32, device="cuda"))
    assert notice.data["gpus"] == min(4, torch.cuda.device_count())
    assert wrap(network, TrainingSpec(), torch.device("cuda:0"), Precision("fp32", cuda)) is network
