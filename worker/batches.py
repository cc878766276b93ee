"""The images on the device as uint8, and batches of them as index operations: no DataLoader."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch
from torch import Generator, Tensor

from store.images import Color, to_grey
from store.packed import PackedDataset, Split
from store.specs import TrainingSpec
from worker.augmentation import augment

# The lesson's: pixels 0..255 become -1..1.
MEAN = 0.5
STANDARD_DEVIATION = 0.5

# Tiny batches are gathered, changed and normalised together, as many as make up this many images.
_BLOCK_IMAGES = 512

# What a random draw is for; part of its seed.
_ORDER, _AUGMENTATION = range(2)


class Batches:
    """The training images, and each epoch's batches of them.

    Every draw depends on (seed, epoch, step) alone, so a run can be taken up at any step.
    """

    def __init__(self, dataset: PackedDataset, spec: TrainingSpec, device: torch.device) -> None:
        self._spec = spec
        self._images, self._labels = load_split(dataset, "train", spec.color, device)
        self.steps_per_epoch = -(-len(self._labels) // spec.batch_size)

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

    def _draw_order(self, epoch: int) -> Tensor:
        # Drawn on the CPU, so that every device sees the images in the same order.
        generator = _seeded_generator(torch.device("cpu"), self._spec.seed, epoch, _ORDER)
        order = torch.randperm(len(self._labels), generator=generator)
        return order.to(self._labels.device)

    def _gather_block(
        self, order: Tensor, epoch: int, block: int, steps: int
    ) -> tuple[Tensor, Tensor]:
        size = steps * self._spec.batch_size
        chosen = order[block * size : (block + 1) * size]
        device = self._images.device
        generator = _seeded_generator(device, self._spec.seed, epoch, _AUGMENTATION, block)
        images = augment(self._images[chosen], self._spec.augmentation, generator)
        return normalise(images), self._labels[chosen]


def load_split(
    dataset: PackedDataset, split: Split, color: Color, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the images of `split` (N, C, H, W) as uint8 and the labels (N,), on `device`."""
    pixels = dataset.images(split)
    if color == "grey":
        pixels = to_grey(pixels)
    # The copy leaves the file's mapping, which is read-only.
    images = torch.from_numpy(np.array(pixels.transpose(0, 3, 1, 2), order="C"))
    labels = torch.from_numpy(np.array(dataset.labels(split)))
    return images.to(device), labels.to(device)


def normalise(images: Tensor) -> Tensor:
    """Return uint8 images as float32 of mean .5 and standard deviation .5, as the lesson has it."""
    return images.float().div_(255).sub_(MEAN).div_(STANDARD_DEVIATION)


def _seeded_generator(device: torch.device, *key: int) -> Generator:
    seed = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])
    return Generator(device).manual_seed(seed)
