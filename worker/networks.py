"""The networks that a job can name."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from store.errors import TrainingError
from store.packed import PackedDataset
from store.specs import TrainingSpec


class LeNet(nn.Module):
    """The small convolutional network of the classic PyTorch lesson.

    After LeCun et al., "Gradient-based learning applied to document recognition" (1998), with
    ReLU and max pooling. Takes (N, channels, height, width), gives one score a class
    (N, classes). On 3x32x32 it has 62,006 parameters for ten classes.
    """

    smallest_side = 16

    def __init__(self, channels: int, classes: int, height: int, width: int) -> None:
        super().__init__()
        if min(height, width) < self.smallest_side:
            raise TrainingError(
                f"lenet needs images of {self.smallest_side} by {self.smallest_side} pixels or "
                f"more, these have {height} by {width}: use larger images"
            )
        self.conv1 = nn.Conv2d(channels, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.pool = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(16 * _pooled(height) * _pooled(width), 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.pool(F.relu(self.conv1(images)))  # (N, 6, 14, 14) for 32x32 images
        maps = self.pool(F.relu(self.conv2(maps)))  # (N, 16, 5, 5)
        hidden = F.relu(self.fc1(maps.flatten(1)))  # (N, 400) → (N, 120)
        hidden = F.relu(self.fc2(hidden))  # (N, 84)
        return self.fc3(hidden)  # type: ignore[no-any-return]


NETWORKS = {"lenet": LeNet}


def build(name: str, *, channels: int, classes: int, height: int, width: int) -> nn.Module:
    """Return a freshly initialised network.

    Raises TrainingError where it does not fit the images.
    """
    return NETWORKS[name](channels, classes, height, width)


def build_for(spec: TrainingSpec, dataset: PackedDataset) -> nn.Module:
    """Return the network of `spec` for the images of `dataset`.

    Its weights depend on the spec's seed alone; no other random state is touched.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        return build(
            spec.network,
            channels=1 if spec.color == "grey" else dataset.channels,
            classes=len(dataset.classes),
            height=dataset.height,
            width=dataset.width,
        )


def count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _pooled(side: int) -> int:
    """Return what two rounds of a 5x5 convolution and a halving leave of `side` pixels."""
    return ((side - 4) // 2 - 4) // 2
