"""The layers that the fast networks share."""

import torch
from torch import Tensor, nn

# Added to the eigenvalues of the patches, so that almost constant directions are not blown up.
_EIGENVALUE_FLOOR = 1e-4
_PATCH_SIDE = 2

# Scores begin near zero, so that no class is preferred at first (Page, 2018; Jordan, 2024).
SCORE_SCALE = 1 / 9


class Whitening(nn.Conv2d):
    """A frozen 2x2 convolution whose outputs are uncorrelated and of unit variance.

    The filters are the eigenvectors of the covariance of the images' 2x2 patches, divided by the
    roots of their eigenvalues, and the negatives of both, so that the activation that follows
    loses nothing. Only the bias, if there is one, is trained. After Page, "How to train your
    ResNet" (2018), and Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU"
    (arXiv:2404.00498).

    (N, channels, H, W) → (N, 8 * channels, H - 1, W - 1).
    """

    def __init__(self, channels: int, *, has_bias: bool = True) -> None:
        super().__init__(channels, 2 * channels * _PATCH_SIDE**2, _PATCH_SIDE, bias=has_bias)
        self.weight.requires_grad = False
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    @torch.no_grad()
    def initialise_from(self, images: Tensor) -> None:
        """Compute the filters from normalised images (N, channels, H, W)."""
        side = _PATCH_SIDE
        patches = images.float().unfold(2, side, 1).unfold(3, side, 1)  # (N, C, H-1, W-1, 2, 2)
        patches = patches.permute(0, 2, 3, 1, 4, 5).flatten(0, 2).flatten(1)  # (patches, 4 C)
        # On the CPU, in double precision: every device then gets the same filters.
        covariance = (patches.T @ patches / len(patches)).double().cpu()
        eigenvalues, eigenvectors = torch.linalg.eigh(covariance)
        filters = (eigenvectors / (eigenvalues + _EIGENVALUE_FLOOR).sqrt()).T  # (4 C, 4 C)
        filters = filters.reshape(len(filters), -1, side, side)
        self.weight.copy_(torch.cat([filters, -filters]))


class Convolution(nn.Conv2d):
    """A 3x3 convolution without bias that begins by passing its input through.

    The first filters are the identity (dirac initialisation), the others random.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, kernel_size=3, padding=1, bias=False)
        nn.init.dirac_(self.weight.detach()[:inputs])


class Normalisation(nn.BatchNorm2d):
    """Batch normalisation with a trained bias and a fixed weight of 1.

    Running statistics follow within a few batches, because the runs are short.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, momentum=0.4)
        self.weight.requires_grad = False


class Head(nn.Module):
    """The largest value of each map, then one scaled score a class: (N, C, H, W) → (N, classes)."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.scores = nn.Linear(channels, classes, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        return self.scores(maps.amax((2, 3))) * SCORE_SCALE  # type: ignore[no-any-return]
