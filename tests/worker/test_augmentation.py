"""Changes to training images, and the images that grow."""

from typing import Any

import pytest
import torch
from torch import Tensor

from store.packed import PackedDataset
from store.specs import TrainingSpec
from worker.augmentation import Draw, augment, resize
from worker.batches import Batches

CPU = torch.device("cpu")


def draw(seed: int = 0, *, mirrored: list[bool] | None = None, shift: int = 2) -> Draw:
    chosen = torch.tensor(mirrored or [False])
    return Draw(torch.Generator().manual_seed(seed), is_mirrored=chosen, shift_pixels=shift)


def random_images(count: int, side: int = 12) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)


def make_batches(dataset: PackedDataset, **fields: Any) -> Batches:
    spec = TrainingSpec(**{"dataset": dataset.name, "network": "whitened_small", **fields})
    return Batches(dataset, spec, CPU, smallest_side=12)


def gather(batches: Batches, epoch: int) -> Tensor:
    """All images of an epoch in the data set's own order of brightness, to compare epochs."""
    images = torch.cat([images for images, _ in batches.epoch(epoch, first_step=0)])
    return images[images.flatten(1).sum(1).double().argsort(stable=True)]


def test_an_alternating_flip_mirrors_what_was_chosen_and_nothing_else() -> None:
    images = random_images(4)
    result = augment(images, "alternating_flip", draw(mirrored=[True, False, False, True]))
    assert torch.equal(result[[0, 3]], images[[0, 3]].flip(-1))
    assert torch.equal(result[[1, 2]], images[[1, 2]])


def test_two_epochs_of_alternating_flips_show_both_sides_of_every_image(
    few_shapes: PackedDataset,
) -> None:
    batches = make_batches(few_shapes, augmentation="alternating_flip", batch_size=64)
    first, second, third = (gather(batches, epoch) for epoch in range(3))
    assert torch.equal(first, second.flip(-1))
    assert torch.equal(first, third)


def test_a_crop_is_a_window_of_the_reflected_image() -> None:
    images = random_images(40)
    result = augment(images, "alternating_flip_crop", draw(mirrored=[False] * 40, shift=2))
    distances = min_distance_over_shifts(images.float(), result.float(), most=2)
    assert torch.equal(distances, torch.zeros(40))
    moved = (images != result).flatten(1).any(1)
    assert 30 < int(moved.sum()) <= 40


def test_a_cutout_covers_one_grey_square() -> None:
    images = random_images(30, side=32)
    plain = augment(images, "alternating_flip_crop", draw(3, mirrored=[False] * 30))
    result = augment(images, "alternating_flip_crop_cutout", draw(3, mirrored=[False] * 30))
    changed = (result != plain).any(dim=1)  # (N, H, W)
    assert set(result[changed[:, None].expand_as(result)].tolist()) == {128}
    rows, columns = changed.any(dim=2).sum(1), changed.any(dim=1).sum(1)
    assert int(rows.max()) == int(columns.max()) == 12
    assert rows.min() >= 5  # a hole may lie half outside


def test_the_shift_of_a_crop_is_a_share_of_the_side(few_shapes: PackedDataset) -> None:
    still = make_batches(few_shapes, augmentation="none", batch_size=64)
    moved = make_batches(
        few_shapes, augmentation="alternating_flip_crop", crop_share=1 / 32, batch_size=64
    )
    order = [next(batches.epoch(1, first_step=0))[0] for batches in (still, moved)]
    plain, shifted = order
    best = min_distance_over_shifts(plain, shifted, most=1)
    assert torch.equal(best, torch.zeros_like(best))


def min_distance_over_shifts(plain: Tensor, shifted: Tensor, most: int) -> Tensor:
    """Return how far each image is from the nearest shift or mirrored shift of its original."""
    side = plain.shape[2]
    padded = torch.nn.functional.pad(plain, (most,) * 4, mode="reflect")
    mirrored = torch.nn.functional.pad(plain.flip(-1), (most,) * 4, mode="reflect")
    distances = [
        (source[:, :, top : top + side, left : left + side] - shifted).abs().amax((1, 2, 3))
        for source in (padded, mirrored)
        for top in range(2 * most + 1)
        for left in range(2 * most + 1)
    ]
    return torch.stack(distances).amin(0)


def test_resized_images_keep_their_brightness_and_proportions() -> None:
    images = torch.full((2, 3, 32, 48), 90, dtype=torch.uint8)
    small = resize(images, 16)
    assert small.shape == (2, 3, 16, 24)
    assert torch.equal(small, torch.full_like(small, 90))
    assert resize(images, 32) is images


def test_images_grow_from_the_start_scale_to_full_size(few_shapes: PackedDataset) -> None:
    batches = make_batches(
        few_shapes, start_scale=0.5, full_scale_from=0.6, epochs=10, batch_size=20
    )
    sides = [batches.side_at(step) for step in range(100)]
    assert sides == sorted(sides)
    assert sides[0] == 16
    assert set(sides) == {16, 20, 24, 28, 32}
    assert sides[59] < 32
    assert sides[60:] == [32] * 40
    images, _ = next(batches.epoch(0, first_step=0))
    assert images.shape == (20, 3, 16, 16)


@pytest.mark.parametrize("scale", [0.25, 0.5])
def test_images_never_shrink_below_what_the_network_takes(
    few_shapes: PackedDataset, scale: float
) -> None:
    batches = make_batches(few_shapes, start_scale=scale, epochs=3, batch_size=20)
    assert batches.side_at(0) >= 12
