"""The picture of a data set that users look at."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from store import packed
from store.errors import InvalidRequestError
from store.packed import Examples, PackedDataset
from store.sample_grid import sample_grid


@pytest.fixture(params=[8, 32, 200])
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> PackedDataset:
    """Thirty pictures, each of one colour that tells its index."""
    side: int = request.param
    colors = np.arange(30, dtype=np.uint8) * 8
    images = np.broadcast_to(colors[:, None, None, None], (30, side, side, 3)).copy()
    examples = Examples(images, np.arange(30, dtype=np.int64) % 2)
    return packed.pack(
        tmp_path,
        name="colors",
        description="",
        source="",
        fingerprint="f",
        classes=("even", "odd" * 100),
        splits={"train": examples, "test": examples},
    )


def render(dataset: PackedDataset, seed: int, count: int) -> Image.Image:
    return Image.open(io.BytesIO(sample_grid(dataset, "train", seed, count))).convert("RGB")


def colors_in(image: Image.Image) -> set[int]:
    """The indexes of the pictures that the grid shows: large areas of exactly their colour."""
    counts = np.bincount(np.asarray(image.convert("L")).ravel(), minlength=256)
    return {int(color) // 8 for color in np.flatnonzero(counts > 5_000) if color < 240}


def test_the_grid_shows_as_many_different_pictures_as_asked_for(dataset: PackedDataset) -> None:
    for count in (1, 7, 30):
        assert len(colors_in(render(dataset, 1, count))) == count


def test_a_count_above_the_data_set_shows_all_of_it(dataset: PackedDataset) -> None:
    assert colors_in(render(dataset, 1, 64)) == set(range(30))


def test_a_seed_always_shows_the_same_pictures(dataset: PackedDataset) -> None:
    assert sample_grid(dataset, "test", 5, 9) == sample_grid(dataset, "test", 5, 9)
    assert colors_in(render(dataset, 5, 9)) != colors_in(render(dataset, 6, 9))


def test_each_picture_is_large_enough_to_be_seen(dataset: PackedDataset) -> None:
    width, height = render(dataset, 0, 1).size
    assert min(width, height) > 100


def test_a_label_is_drawn_under_the_picture_and_stays_within_it(dataset: PackedDataset) -> None:
    pixels = np.asarray(render(dataset, 0, 1).convert("L"))
    label = pixels[-36:-12]
    assert (label < 100).any()
    assert (label[:, :12] == 255).all()
    assert (label[:, -12:] == 255).all()


@pytest.mark.parametrize("count", [0, -1, 101])
def test_a_count_out_of_bounds_is_refused(dataset: PackedDataset, count: int) -> None:
    with pytest.raises(InvalidRequestError, match="1 to 100"):
        sample_grid(dataset, "train", 0, count)
