"""Packed data sets on a real disk."""

import resource
import threading
from pathlib import Path

import numpy as np
import pytest

from store import packed
from store.errors import DatasetError
from store.packed import Examples, PackedDataset, Split, open_newest, open_packed


def make_splits(seed: int = 0) -> dict[Split, Examples]:
    random = np.random.default_rng(seed)
    labels: dict[Split, list[int]] = {"train": [0, 1, 2, 2, 1, 1], "test": [2, 0]}
    return {
        split: Examples(
            random.integers(0, 256, (len(of_split), 5, 7, 3), dtype=np.uint8),
            np.array(of_split, dtype=np.int64),
        )
        for split, of_split in labels.items()
    }


def pack(folder: Path, fingerprint: str = "f1", seed: int = 0) -> PackedDataset:
    return packed.pack(
        folder,
        name="animals",
        description="three animals",
        source="a test",
        fingerprint=fingerprint,
        classes=("cat", "dog", "owl"),
        splits=make_splits(seed),
    )


def test_what_was_packed_is_what_is_mapped(tmp_path: Path) -> None:
    dataset = pack(tmp_path)
    for split, examples in make_splits().items():
        assert np.array_equal(dataset.images(split), examples.images)
        assert np.array_equal(dataset.labels(split), examples.labels)
    assert dataset.images("train").dtype == np.uint8
    assert dataset.labels("train").dtype == np.int64


def test_a_packed_data_set_knows_its_sizes_and_counts(tmp_path: Path) -> None:
    dataset = pack(tmp_path)
    assert (dataset.height, dataset.width, dataset.channels) == (5, 7, 3)
    assert dataset.classes == ("cat", "dog", "owl")
    assert dataset.class_counts == {"train": (1, 3, 2), "test": (1, 0, 1)}
    assert (dataset.count("train"), dataset.count("test")) == (6, 2)


def test_pictures_are_mapped_read_only(tmp_path: Path) -> None:
    images = pack(tmp_path).images("train")
    assert isinstance(images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_a_copy_is_found_by_its_fingerprint(tmp_path: Path) -> None:
    dataset = pack(tmp_path, "f1")
    assert open_packed(tmp_path, "animals", "f1") == dataset
    assert open_packed(tmp_path, "animals", "f2") is None
    assert open_packed(tmp_path, "plants", "f1") is None


def test_the_newest_copy_is_the_one_packed_last(tmp_path: Path) -> None:
    assert open_newest(tmp_path, "animals") is None
    pack(tmp_path, "f2")
    later = pack(tmp_path, "f1")
    assert open_newest(tmp_path, "animals") == later
    assert packed.packed_names(tmp_path) == ["animals"]


def test_two_processes_may_pack_the_same_pictures_at_once(tmp_path: Path) -> None:
    barrier = threading.Barrier(4)
    found: list[PackedDataset] = []

    def race() -> None:
        barrier.wait()
        found.append(pack(tmp_path))

    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert [path.name for path in (tmp_path / "animals").iterdir()] == ["f1"]


def test_a_failed_write_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_the_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", fill_the_disk)
    with pytest.raises(DatasetError, match=r"No space left on device: free some space"):
        pack(tmp_path)
    assert list((tmp_path / "animals").iterdir()) == []


def test_a_copy_that_cannot_be_opened_now_is_not_called_damaged(tmp_path: Path) -> None:
    dataset = pack(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Path("/dev/null").open() as file:
        next_number = file.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (next_number, limits[1]))
    try:
        with pytest.raises(DatasetError, match="ulimit -n") as caught:
            dataset.images("train")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert caught.value.code == "system_refused"
    assert "delete" not in str(caught.value)


def test_a_damaged_copy_says_what_to_delete(tmp_path: Path) -> None:
    dataset = pack(tmp_path)
    (dataset.folder / "train-images.npy").write_bytes(b"rubbish")
    with pytest.raises(DatasetError, match=f"delete {dataset.folder}"):
        dataset.images("train")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"classes": 1}', '{"surplus": 1}'])
def test_a_damaged_description_says_what_to_delete(tmp_path: Path, content: str) -> None:
    dataset = pack(tmp_path)
    (dataset.folder / "dataset.json").write_text(content)
    with pytest.raises(DatasetError, match=f"delete {dataset.folder}"):
        open_newest(tmp_path, "animals")
