"""Fast networks: a whitening layer, then three blocks of two convolutions."""

from typing import ClassVar

from torch import Tensor, nn

from worker.networks.image_network import ImageNetwork
from worker.networks.layers import Convolution, Head, Normalisation, Whitening


class WhitenedNetwork(ImageNetwork):
    """A whitening layer, three blocks that each halve the side, and a linear head.

    The shape is that of `airbench94` (Jordan, arXiv:2404.00498). It takes images of any side from
    `smallest_side` on, also of another side than it was built for.
    """

    smallest_side = 12
    widths: ClassVar[tuple[int, ...]]
    activation: ClassVar[type[nn.Module]]
    whitening_has_bias: ClassVar[bool] = True

    def __init__(self, channels: int, classes: int, height: int, width: int) -> None:
        super().__init__(channels, classes, height, width)
        # (N, 24, 31, 31) for colour images of 32x32
        self.whitening = Whitening(channels, has_bias=self.whitening_has_bias)
        inputs = (self.whitening.out_channels, *self.widths)
        self.blocks = nn.Sequential(
            self.activation(),
            *(
                self._build_block(before, after)
                for before, after in zip(inputs, self.widths, strict=False)
            ),
        )  # (N, widths[-1], 3, 3)
        self.head = Head(self.widths[-1], classes)

    def initialise_from(self, images: Tensor) -> None:
        self.whitening.initialise_from(images)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.blocks(self.whitening(images)))  # type: ignore[no-any-return]

    def _build_block(self, inputs: int, outputs: int) -> nn.Module:
        # The pool comes before the normalisation: a quarter of the values is left to normalise.
        return nn.Sequential(
            Convolution(inputs, outputs),
            nn.MaxPool2d(2),
            Normalisation(outputs),
            self.activation(),
            Convolution(outputs, outputs),
            Normalisation(outputs),
            self.activation(),
        )


class WhitenedSmall(WhitenedNetwork):
    """Whitening and three blocks of 32, 128 and 128 channels, with ReLU: sized for CPU cores.

    On 3x32x32 a step costs about .18 GFLOP an image, forward and backward.
    """

    widths = (32, 128, 128)
    activation = nn.ReLU
    # Nothing is trained before the first convolution, so its backward pass ends at its weights.
    whitening_has_bias = False


class WhitenedMedium(WhitenedNetwork):
    """Whitening and three blocks of 64, 256 and 256 channels, with GELU: sized for one GPU.

    On 3x32x32 a step costs about .7 GFLOP an image, forward and backward.
    """

    widths = (64, 256, 256)
    activation = nn.GELU
