"""The network that is evaluated and published: the trained one, or a moving average of it."""

from typing import Protocol

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

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
    """An exponential moving average of weights and statistics (Polyak and Juditsky, 1992)."""

    def __init__(self, network: ImageNetwork, decay: float) -> None:
        self._trained = network
        self._average = AveragedModel(
            network,
            multi_avg_fn=get_ema_multi_avg_fn(decay),  # type: ignore[no-untyped-call]
            use_buffers=True,
        )

    @property
    def network(self) -> nn.Module:
        return self._average.module

    def update(self) -> None:
        self._average.update_parameters(self._trained)

    def state(self) -> dict[str, Tensor]:
        return self._average.state_dict()

    def restore(self, tensors: dict[str, Tensor]) -> None:
        self._average.load_state_dict(tensors)


def build_average(network: ImageNetwork, decay: float) -> Average:
    """Return the average of `network` with this decay a step; 0 is none."""
    return MovingAverage(network, decay) if decay else NoAverage(network)
