"""Test-time augmentation: several views of an image, whose scores are averaged."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from store.specs import TestTimeAugmentation

Views = Callable[[nn.Module, Tensor], Tensor]

_SHIFT_PIXELS = 1


def score_plain(network: nn.Module, images: Tensor) -> Tensor:
    return network(images)  # type: ignore[no-any-return]


def score_flipped(network: nn.Module, images: Tensor) -> Tensor:
    """Average over the image and its mirror image."""
    return (network(images) + network(images.flip(-1))) / 2  # type: ignore[no-any-return]


def score_shifted(network: nn.Module, images: Tensor) -> Tensor:
    """Average over six views: half the weight on the image, half on two diagonal shifts of it.

    Each is taken with its mirror image; the shifts are of one pixel, the border is reflected
    (Jordan, arXiv:2404.00498).
    """
    height, width = images.shape[2:]
    shift = _SHIFT_PIXELS
    padded = F.pad(images, (shift, shift, shift, shift), mode="reflect")
    up_left = padded[:, :, :height, :width]
    down_right = padded[:, :, 2 * shift :, 2 * shift :]
    shifted = score_flipped(network, up_left) + score_flipped(network, down_right)
    return score_flipped(network, images) / 2 + shifted / 4


SCORES: dict[TestTimeAugmentation, Views] = {
    "none": score_plain,
    "flip": score_flipped,
    "flip_shift": score_shifted,
}


class ViewAveraging(nn.Module):
    """`network` behind the views of `kind`: images (N, C, H, W) in, scores (N, classes) out."""

    def __init__(self, network: nn.Module, kind: TestTimeAugmentation) -> None:
        super().__init__()
        self.network = network
        self._score = SCORES[kind]

    def forward(self, images: Tensor) -> Tensor:
        return self._score(self.network, images)
