"""The accurate network: a whitening layer, then three residual blocks."""

from torch import Tensor, nn

from worker.networks.image_network import ImageNetwork
from worker.networks.layers import Convolution, Head, Normalisation, Whitening


class ResidualBlock(nn.Module):
    """Three convolutions; the last two are added to what the first one gives.

    (N, inputs, H, W) → (N, outputs, H / 2, W / 2).
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.down = nn.Sequential(
            Convolution(inputs, outputs), nn.MaxPool2d(2), Normalisation(outputs), nn.GELU()
        )
        self.change = nn.Sequential(
            Convolution(outputs, outputs),
            Normalisation(outputs),
            nn.GELU(),
            Convolution(outputs, outputs),
            Normalisation(outputs),
        )
        self.activation = nn.GELU()

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.down(maps)
        return self.activation(maps + self.change(maps))  # type: ignore[no-any-return]


class WhitenedResidual(ImageNetwork):
    """Whitening and three residual blocks of 128, 384 and 512 channels, with GELU.

    The shape is that of `airbench96` (Jordan, arXiv:2404.00498). On 3x32x32 a step costs about
    2.7 GFLOP an image, forward and backward.
    """

    smallest_side = 12
    widths = (128, 384, 512)

    def __init__(self, channels: int, classes: int, height: int, width: int) -> None:
        super().__init__(channels, classes, height, width)
        self.whitening = Whitening(channels)  # (N, 24, 31, 31) for colour images of 32x32
        inputs = (self.whitening.out_channels, *self.widths)
        self.blocks = nn.Sequential(
            nn.GELU(),
            *(
                ResidualBlock(before, after)
                for before, after in zip(inputs, self.widths, strict=False)
            ),
        )  # (N, 512, 3, 3)
        self.head = Head(self.widths[-1], classes)

    def initialise_from(self, images: Tensor) -> None:
        self.whitening.initialise_from(images)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.blocks(self.whitening(images)))  # type: ignore[no-any-return]
