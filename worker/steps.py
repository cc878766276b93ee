"""One training step: forward, backward, update. Nothing in it waits for the device."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from worker.arithmetic import Arithmetic
from worker.optimizers import LossFunction
from worker.precision import Precision

# Up to this many numbers in a batch, calling an operation takes longer than running it.
_TINY_BATCH_NUMBERS = 32 * 3 * 32 * 32

_aten = torch.ops.aten


class Step(Protocol):
    """Learns from images (N, C, H, W) and labels (N,).

    Returns the loss and the number of right answers, both from before the update.
    """

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]: ...


class EagerStep:
    """The step as every PyTorch lesson has it."""

    def __init__(
        self,
        model: nn.Module,
        compute_loss: LossFunction,
        optimizers: Sequence[Optimizer],
        precision: Precision,
    ) -> None:
        self._model = model
        self._compute_loss = compute_loss
        self._optimizers = optimizers
        self._precision = precision

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        with self._precision.autocast():
            outputs = self._model(images)  # (N, classes)
            loss = self._compute_loss(outputs, labels)
        self._precision.backward_and_update(loss, self._optimizers)
        return loss.detach(), _count_hits(outputs, labels)


class ShardStep:
    """The step of one process among several that share each batch.

    DistributedDataParallel averages the processes' gradients. A loss is a mean over images, so
    each process weighs its own by its share of them; otherwise the images of a batch that does not
    divide evenly would count differently. The loss and the hits are those of the whole batch.
    """

    def __init__(
        self,
        model: DistributedDataParallel,
        compute_loss: LossFunction,
        optimizers: Sequence[Optimizer],
        precision: Precision,
    ) -> None:
        self._rank, self._processes = dist.get_rank(), dist.get_world_size()
        self._compute_loss = compute_loss
        self._weight = 1.0
        self._step = EagerStep(model, self._weigh, optimizers, precision)

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        own = slice(self._rank, None, self._processes)
        count = len(range(*own.indices(len(labels))))
        self._weight = self._processes * count / len(labels)
        if count == 0:
            # A process must take part in the averaging, even if no image is left for it.
            own = slice(0, 1)
        loss, hits = self._step(images[own], labels[own])
        sums = torch.stack([loss, hits * bool(count)])
        dist.all_reduce(sums)
        return sums[0] / self._processes, sums[1].to(hits.dtype)

    def _weigh(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return self._compute_loss(outputs, labels) * self._weight


class RecordedStep:
    """The same step for tiny batches on the CPU; `benchmarks/steps.py` prints what it saves.

    The operations of one forward and backward pass are recorded once, for each batch size that
    is met, and then called one after the other: no modules, and no autograd graph at every step.
    """

    def __init__(
        self, network: nn.Module, compute_loss: LossFunction, optimizers: Sequence[Optimizer]
    ) -> None:
        self._network = network
        self._compute_loss = compute_loss
        self._optimizers = optimizers
        self._names, self._parameters = zip(*network.named_parameters(), strict=True)
        self._recordings: dict[torch.Size, Callable[..., tuple[Tensor, ...]]] = {}

    @torch.no_grad()
    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        recording = self._recordings.get(images.shape) or self._record(images, labels)
        loss, hits, *gradients = recording(images, labels, *self._parameters)
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
        for optimizer in self._optimizers:
            optimizer.step()
        return loss, hits

    @torch.enable_grad()
    def _record(self, images: Tensor, labels: Tensor) -> Callable[..., tuple[Tensor, ...]]:
        record = make_fx(self._differentiate, decomposition_table=_SMALL_CONVOLUTIONS)
        recording = record(images, labels, *self._parameters)
        _drop_what_serves_autograd(recording)
        self._recordings[images.shape] = recording.forward
        return self._recordings[images.shape]

    def _differentiate(
        self, images: Tensor, labels: Tensor, *parameters: Tensor
    ) -> tuple[Tensor, ...]:
        named = dict(zip(self._names, parameters, strict=True))
        outputs = torch.func.functional_call(self._network, named, (images,))
        loss = self._compute_loss(outputs, labels)
        return loss, _count_hits(outputs, labels), *torch.autograd.grad(loss, parameters)


def build_step(
    network: nn.Module,
    *,
    model: nn.Module,
    compute_loss: LossFunction,
    optimizers: Sequence[Optimizer],
    arithmetic: Arithmetic,
    precision: Precision,
    batch_numbers: int,
) -> Step:
    """Return the fastest step for batches of `batch_numbers` numbers; `model` wraps `network`.

    A network with buffers is not recorded, since a recording would not see them change.
    """
    if isinstance(model, DistributedDataParallel):
        return ShardStep(model, compute_loss, optimizers, precision)
    can_be_recorded = (
        model is network
        and arithmetic == Arithmetic("fp32", "contiguous")
        and all(_is_trained_on_the_cpu(parameter) for parameter in network.parameters())
        and next(network.buffers(), None) is None
    )
    if can_be_recorded and batch_numbers <= _TINY_BATCH_NUMBERS:
        return RecordedStep(network, compute_loss, optimizers)
    return EagerStep(model, compute_loss, optimizers, precision)


def _is_trained_on_the_cpu(parameter: nn.Parameter) -> bool:
    return parameter.requires_grad and parameter.device.type == "cpu"


def _count_hits(outputs: Tensor, labels: Tensor) -> Tensor:
    return (outputs.detach().argmax(1) == labels).sum()


def _drop_what_serves_autograd(recording: GraphModule) -> None:
    """Remove detaching, double transposition and whatever nothing needs."""
    graph = recording.graph
    for node in list(graph.nodes):
        if node.target in {_aten.detach.default, _aten.alias.default}:
            node.replace_all_uses_with(node.args[0])
        elif node.target is _aten.t.default and node.args[0].target is _aten.t.default:
            node.replace_all_uses_with(node.args[0].args[0])
    graph.eliminate_dead_code()
    recording.recompile()


def _convolve_back(
    gradient: Tensor, images: Tensor, weight: Tensor, _bias_sizes: Any, *options: Any
) -> Any:
    """The gradients of a convolution of a few images, by plain matrix products (im2col).

    Faster than oneDNN where the gradient of the input is wanted too, slower where it is not.
    """
    stride, padding, *others, wanted = options
    plain = others == [[1, 1], False, [0, 0], 1]  # dilation, transposed, output padding, groups
    if not (plain and wanted[0]):
        return NotImplemented
    return _aten._slow_conv2d_backward.output_mask(  # noqa: SLF001 -- the operator's name
        gradient, images, weight, weight.shape[2:], stride, padding, wanted
    )


_SMALL_CONVOLUTIONS: dict[OpOverload[..., Any], Callable[..., Any]] = {
    _aten.convolution_backward.default: _convolve_back,
}
