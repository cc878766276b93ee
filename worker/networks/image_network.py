"""What every network that classifies images has in common."""

from typing import ClassVar

from torch import Tensor, nn


class ImageNetwork(nn.Module):
    """Takes images (N, channels, height, width) in -1..1, gives one score a class (N, classes)."""

    # The least height and width, in pixels, that the network is built for.
    smallest_side: ClassVar[int]

    def __init__(self, channels: int, classes: int, height: int, width: int) -> None:
        """Build the network for images of this shape; `build` has checked that they fit."""
        super().__init__()

    def initialise_from(self, images: Tensor) -> None:
        """Set the weights that are computed from training images, where there are any.

        `images` (N, channels, height, width) are normalised as in training.
        """
