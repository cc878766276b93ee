"""Random changes to training images, as tensor operations on the device that holds them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from store.specs import Augmentation

# Cutout (DeVries and Taylor, arXiv:1708.04552): the hole's side, as a share of the image's.
_HOLE_SHARE = 12 / 32
_GREY = 128


@dataclass(frozen=True)
class Draw:
    """What decides the changes to one batch."""

    generator: Generator
    # Whether each image is to be mirrored in this epoch, where flips alternate (N,).
    is_mirrored: Tensor
    # The furthest shift of a crop, in pixels.
    shift_pixels: int


def augment(images: Tensor, kind: Augmentation, draw: Draw) -> Tensor:
    """Return changed copies of the uint8 `images` (N, C, H, W).

    `flip` mirrors every other image, at random; `alternating_flip` mirrors an image in every other
    epoch, so that two epochs show both sides (Jordan, arXiv:2404.00498). `crop` shifts each image
    and fills the border by reflection; `cutout` covers a square of it with grey.
    """
    for change in _CHANGES[kind]:
        images = change(images, draw)
    return images


def resize(images: Tensor, side: int) -> Tensor:
    """Return uint8 images (N, C, H, W) scaled so that their smaller side has `side` pixels."""
    height, width = images.shape[2:]
    smaller = min(height, width)
    if side == smaller:
        return images
    size = (round(height * side / smaller), round(width * side / smaller))
    # Only the CPU has an antialiasing kernel for uint8; it is fastest on channels_last.
    if images.device.type == "cpu":
        images = images.contiguous(memory_format=torch.channels_last)
    else:
        images = images.float()
    return F.interpolate(images, size, mode="bilinear", antialias=True)


def _flip(images: Tensor, draw: Draw) -> Tensor:
    drawn = torch.rand(len(images), device=images.device, generator=draw.generator)
    return _mirror(images, drawn < 0.5)  # noqa: PLR2004


def _flip_alternating(images: Tensor, draw: Draw) -> Tensor:
    return _mirror(images, draw.is_mirrored)


def _mirror(images: Tensor, chosen: Tensor) -> Tensor:
    return torch.where(chosen[:, None, None, None], images.flip(-1), images)


def _crop(images: Tensor, draw: Draw) -> Tensor:
    count, _, height, width = images.shape
    pad = draw.shift_pixels
    # Reflection has no integer kernel; float32 holds 0..255 exactly.
    padded = F.pad(images.float(), (pad, pad, pad, pad), mode="reflect").to(images.dtype)
    top, left = torch.randint(
        2 * pad + 1, (2, count), device=images.device, generator=draw.generator
    )
    # A view of every window: (N, C, 2 pad + 1, 2 pad + 1, H, W).
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    return windows[torch.arange(count, device=images.device), :, top, left]


def _cut_out(images: Tensor, draw: Draw) -> Tensor:
    count, _, height, width = images.shape
    hole = max(1, round(min(height, width) * _HOLE_SHARE))
    device = images.device
    corner = torch.rand(2, count, 1, device=device, generator=draw.generator)
    # The hole may lie half outside the image, so that the border is covered as often.
    top = (corner[0] * height - hole / 2).round()  # (N, 1)
    left = (corner[1] * width - hole / 2).round()
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    in_rows = (rows >= top) & (rows < top + hole)  # (N, H)
    in_columns = (columns >= left) & (columns < left + hole)  # (N, W)
    covered = in_rows[:, None, :, None] & in_columns[:, None, None, :]  # (N, 1, H, W)
    return images.masked_fill(covered, _GREY)


_CHANGES: dict[Augmentation, tuple[Callable[[Tensor, Draw], Tensor], ...]] = {
    "none": (),
    "flip": (_flip,),
    "flip_crop": (_flip, _crop),
    "alternating_flip": (_flip_alternating,),
    "alternating_flip_crop": (_flip_alternating, _crop),
    "alternating_flip_crop_cutout": (_flip_alternating, _crop, _cut_out),
}
