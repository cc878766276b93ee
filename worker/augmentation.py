"""Random changes to training images, as tensor operations on the device that holds them."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from store.specs import Augmentation

# Pixels that `flip_crop` may shift an image by, on images of 32 pixels; larger ones in proportion.
_CROP_SHARE = 4 / 32


def augment(images: Tensor, kind: Augmentation, generator: Generator) -> Tensor:
    """Return changed copies of `images` (N, C, H, W), each drawn from `generator`.

    `flip` mirrors every other image, at random; `flip_crop` also shifts each image by up to an
    eighth of its side, and fills the border by reflection.
    """
    if kind == "none":
        return images
    images = _flip(images, generator)
    return _crop(images, generator) if kind == "flip_crop" else images


def _flip(images: Tensor, generator: Generator) -> Tensor:
    drawn = torch.rand(len(images), device=images.device, generator=generator)
    return torch.where((drawn < 0.5)[:, None, None, None], images.flip(-1), images)  # noqa: PLR2004


def _crop(images: Tensor, generator: Generator) -> Tensor:
    count, channels, height, width = images.shape
    pad = max(1, round(min(height, width) * _CROP_SHARE))
    # Reflection has no integer kernel; half precision holds 0..255 exactly.
    padded = F.pad(images.half(), (pad, pad, pad, pad), mode="reflect").to(images.dtype)
    top, left = torch.randint(2 * pad + 1, (2, count, 1), device=images.device, generator=generator)
    rows = top + torch.arange(height, device=images.device)  # (N, H)
    columns = left + torch.arange(width, device=images.device)  # (N, W)
    index = torch.arange(count, device=images.device)
    # Index arrays on both sides of a slice put the channels last: (N, H, W, C).
    cropped = padded[index[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return cropped.permute(0, 3, 1, 2).reshape(count, channels, height, width)
