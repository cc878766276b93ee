"""The network that is evaluated and published: the trained one, or a moving average of it."""

import copy
from itertools import chain
from typing import Protocol

from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from worker.networks.image_network import ImageNetwork


class Average(Protocol):
    """Follows a network through its steps."""

    @property
    def network(self) -> nn.Module: ...

    def update(self) -> None:
        """Take one step of the trained network into account."""

    def state(self) -> dict[str, Tensor]: ...

    def restore(self, tensors: dict[str, Tensor]) -> None: ...


class NoAverage:
    """The trained network itself."""

    def __init__(self, network: ImageNetwork) -> None:
        self._network = network

    @property
    def network(self) -> nn.Module:
        return self._network

    def update(self) -> None:
        pass

    def state(self) -> dict[str, Tensor]:
        return {}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        pass


class MovingAverage:
    """An exponential moving average of weights and statistics (Polyak and Juditsky, 1992).

    It begins at the network's weights. `torch.optim.swa_utils.AveragedModel` does the same with a
    counter of steps in a tensor, which it reads back at every one.
    """

    def __init__(self, network: ImageNetwork, decay: float) -> None:
        self._average = copy.deepcopy(network).requires_grad_(requires_grad=False)
        self._blend = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        # Counters of batches are whole numbers: they are copied.
        pairs = list(zip(_list_tensors(self._average), _list_tensors(network), strict=True))
        self._averaged = [average for average, _ in pairs if average.is_floating_point()]
        self._trained = [trained for _, trained in pairs if trained.is_floating_point()]
        self._counters = [pair for pair in pairs if not pair[0].is_floating_point()]

    @property
    def network(self) -> nn.Module:
        return self._average

    def update(self) -> None:
        self._blend(self._averaged, self._trained, None)
        for average, trained in self._counters:
            average.copy_(trained)

    def state(self) -> dict[str, Tensor]:
        return self._average.state_dict()

    def restore(self, tensors: dict[str, Tensor]) -> None:
        self._average.load_state_dict(tensors)


def build_average(network: ImageNetwork, decay: float) -> Average:
    """Return the average of `network` with this decay a step; 0 is none."""
    return MovingAverage(network, decay) if decay else NoAverage(network)


def _list_tensors(network: nn.Module) -> list[Tensor]:
    return [tensor.detach() for tensor in chain(network.parameters(), network.buffers())]
