"""The network of the classic PyTorch lesson."""

import torch.nn.functional as F
from torch import Tensor, nn

from worker.networks.image_network import ImageNetwork


class LeNet(ImageNetwork):
    """The small convolutional network of the classic PyTorch lesson.

    After LeCun et al., "Gradient-based learning applied to document recognition" (1998), with
    ReLU and max pooling. Takes (N, channels, height, width), gives one score a class
    (N, classes). On 3x32x32 it has 62,006 parameters for ten classes.
    """

    smallest_side = 16

    def __init__(self, channels: int, classes: int, height: int, width: int) -> None:
        super().__init__(channels, classes, height, width)
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


def _pooled(side: int) -> int:
    """Return what two rounds of a 5x5 convolution and a halving leave of `side` pixels."""
    return ((side - 4) // 2 - 4) // 2
