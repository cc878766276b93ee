"""The images on the device as uint8, and batches of them as index operations: no DataLoader."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Generator, Tensor

from store.images import Color, to_grey
from store.packed import PackedDataset, Split
from store.specs import TrainingSpec
from worker.augmentation import Draw, augment, resize

# The lesson's: pixels 0..255 become -1..1.
MEAN = 0.5
STANDARD_DEVIATION = 0.5

# Tiny batches are gathered, changed and normalised together, as many as make up this many images.
_BLOCK_IMAGES = 512

# Images grow in steps of so many pixels, so that few shapes are met.
_SIDE_STEP = 4

# What a random draw is for; part of its seed.
_ORDER, _AUGMENTATION, _ORIENTATION, _HELD_OUT, _SAMPLE = range(5)


@dataclass(frozen=True)
class LabelledImages:
    """uint8 images (N, C, H, W) and the class index of each (N,), on the device."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: Tensor) -> "LabelledImages":
        return LabelledImages(self.images[chosen], self.labels[chosen])


class Batches:
    """The training images, and each epoch's batches of them.

    Every draw depends on (seed, epoch, step) alone, so a run can be taken up at any step.
    `held_out` is a share of the training images that no batch has.
    """

    def __init__(
        self, dataset: PackedDataset, spec: TrainingSpec, device: torch.device, smallest_side: int
    ) -> None:
        self._spec = spec
        self._smallest_side = smallest_side
        everything = load_split(dataset, "train", spec.color, device)
        self._examples, self.held_out = _split(everything, spec)
        self._full_side = min(self._examples.images.shape[2:])
        self._is_mirrored = _draw_orientations(len(self), spec.seed, device)
        self.steps_per_epoch = count_steps_per_epoch(len(everything), spec)

    def __len__(self) -> int:
        return len(self._examples)

    def epoch(self, epoch: int, first_step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images (N, C, H, W), float32 in -1..1, and labels (N,), from `first_step` on.

        The last batch holds what is left, as the lesson's does.
        """
        steps_per_block = max(1, _BLOCK_IMAGES // self._spec.batch_size)
        order = self._draw_order(epoch)
        for block in range(
            first_step // steps_per_block, -(-self.steps_per_epoch // steps_per_block)
        ):
            images, labels = self._gather_block(order, epoch, block, steps_per_block)
            done = max(0, first_step - block * steps_per_block)
            batches = zip(
                torch.split(images, self._spec.batch_size),
                torch.split(labels, self._spec.batch_size),
                strict=True,
            )
            yield from islice(batches, done, None)

    def side_at(self, step: int) -> int:
        """Return the side in pixels that images have at `step` of the whole run.

        It grows from start_scale to the full side, in steps of a few pixels.
        """
        steps = self._spec.epochs * self.steps_per_epoch
        grown = min(1.0, step / steps / self._spec.full_scale_from)
        scale = self._spec.start_scale + (1 - self._spec.start_scale) * grown
        if scale == 1:
            return self._full_side
        side = int(scale * self._full_side) // _SIDE_STEP * _SIDE_STEP
        return min(self._full_side, max(side, self._smallest_side))

    def sample(self, count: int) -> Tensor:
        """Return up to `count` training images (N, C, H, W) as the network first sees them."""
        generator = _seeded_generator(torch.device("cpu"), self._spec.seed, _SAMPLE)
        chosen = torch.randperm(len(self), generator=generator)[:count]
        images = self._examples.images[chosen.to(self._examples.images.device)]
        return normalise(resize(images, self.side_at(0)))

    def _draw_order(self, epoch: int) -> Tensor:
        # Drawn on the CPU, so that every device sees the images in the same order.
        generator = _seeded_generator(torch.device("cpu"), self._spec.seed, epoch, _ORDER)
        order = torch.randperm(len(self), generator=generator)
        return order.to(self._examples.labels.device)

    def _gather_block(
        self, order: Tensor, epoch: int, block: int, steps: int
    ) -> tuple[Tensor, Tensor]:
        size = steps * self._spec.batch_size
        chosen = order[block * size : (block + 1) * size]
        batch = self._examples.take(chosen)
        draw = Draw(
            generator=_seeded_generator(order.device, self._spec.seed, epoch, _AUGMENTATION, block),
            is_mirrored=self._is_mirrored[chosen] ^ bool(epoch % 2),
            shift_pixels=max(1, round(self._full_side * self._spec.crop_share)),
        )
        images = augment(batch.images, self._spec.augmentation, draw)
        side = self.side_at(epoch * self.steps_per_epoch + block * steps)
        return normalise(resize(images, side)), batch.labels


def count_steps_per_epoch(images: int, spec: TrainingSpec) -> int:
    """Return the batches of an epoch, given all training images; the last one may be smaller."""
    return -(-(images - _count_held_out(images, spec)) // spec.batch_size)


def _count_held_out(images: int, spec: TrainingSpec) -> int:
    return round(images * spec.validation_share)


def load_split(
    dataset: PackedDataset, split: Split, color: Color, device: torch.device
) -> LabelledImages:
    """Return the images of `split` and their labels, on `device`."""
    pixels = dataset.images(split)
    if color == "grey":
        pixels = to_grey(pixels)
    # The copy leaves the file's mapping, which is read-only.
    images = torch.from_numpy(np.array(pixels.transpose(0, 3, 1, 2), order="C"))
    labels = torch.from_numpy(np.array(dataset.labels(split)))
    return LabelledImages(images.to(device), labels.to(device))


def normalise(images: Tensor) -> Tensor:
    """Return pixels 0..255 as float32 of mean .5 and standard deviation .5, as the lesson does."""
    return images.float().div_(255).sub_(MEAN).div_(STANDARD_DEVIATION)


def _split(examples: LabelledImages, spec: TrainingSpec) -> tuple[LabelledImages, LabelledImages]:
    """Return what is trained on and what is held out of it, which may be nothing."""
    held_out = _count_held_out(len(examples), spec)
    if held_out == 0:
        return examples, LabelledImages(examples.images[:0], examples.labels[:0])
    generator = _seeded_generator(torch.device("cpu"), spec.seed, _HELD_OUT)
    order = torch.randperm(len(examples), generator=generator).to(examples.labels.device)
    return examples.take(order[held_out:]), examples.take(order[:held_out])


def _draw_orientations(count: int, seed: int, device: torch.device) -> Tensor:
    """Return which images an alternating flip mirrors in the first epoch (N,)."""
    generator = _seeded_generator(torch.device("cpu"), seed, _ORIENTATION)
    return (torch.rand(count, generator=generator) < 0.5).to(device)  # noqa: PLR2004


def _seeded_generator(device: torch.device, *key: int) -> Generator:
    seed = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])
    return Generator(device).manual_seed(seed)
