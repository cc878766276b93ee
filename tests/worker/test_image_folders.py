"""Data sets as folders of real picture files."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from store.errors import DatasetError
from tests.worker.conftest import Events, write_picture
from worker.dataset_sources import Content, LoadStoppedError
from worker.image_folders import COMMON_SIDE, HELD_OUT_EVERY, LARGEST_NATIVE_SIDE, ImageFolder

COLORS = ("red", "lime", "blue")


def make_folder(folder: Path, per_class: int = 3, size: tuple[int, int] = (32, 32)) -> ImageFolder:
    for split in ("train", "test"):
        for color in COLORS:
            for index in range(per_class):
                write_picture(folder / split / color / f"{index}.png", size, color)
    return ImageFolder(folder)


def read(folder: ImageFolder) -> Content:
    return folder.read(Events(), lambda: False)


def test_pictures_come_in_the_order_of_class_and_file_name(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    for name, brightness in (("b.png", 1), ("a.png", 2), ("c.JPG", 3)):
        path = tmp_path / "test" / "blue" / name
        Image.new("RGB", (32, 32), (brightness,) * 3).save(path)
    content = read(folder)
    assert content.classes == ("blue", "lime", "red")
    test = content.splits["test"]
    assert test.labels.tolist() == [0] * 6 + [1] * 3 + [2] * 3
    # 0.png, 1.png, 2.png are blue; then a, b, c.
    assert test.images[3:5, 0, 0, 0].tolist() == [2, 1]
    assert test.images[6, 0, 0].tolist() == [0, 255, 0]


def test_pictures_of_one_size_keep_it(tmp_path: Path) -> None:
    content = read(make_folder(tmp_path, size=(48, 20)))
    assert content.splits["train"].images.shape == (9, 20, 48, 3)


def test_pictures_of_several_sizes_are_brought_to_a_common_one(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    write_picture(tmp_path / "test" / "red" / "large.png", (640, 480), "red")
    content = read(folder)
    assert content.splits["train"].images.shape == (9, COMMON_SIDE, COMMON_SIDE, 3)
    assert content.splits["test"].images.shape == (10, COMMON_SIDE, COMMON_SIDE, 3)
    assert np.array_equal(content.splits["test"].images[-1, 5, 5], [255, 0, 0])


def test_large_pictures_of_one_size_are_brought_to_the_common_one(tmp_path: Path) -> None:
    side = LARGEST_NATIVE_SIDE + 1
    content = read(make_folder(tmp_path, per_class=1, size=(side, side)))
    assert content.splits["train"].images.shape == (3, COMMON_SIDE, COMMON_SIDE, 3)


def test_without_a_test_folder_a_fifth_of_each_class_is_held_out(tmp_path: Path) -> None:
    for color in COLORS:
        for index in range(11):
            path = tmp_path / "train" / color / f"{index:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (index, 0, 0)).save(path)
    content = read(ImageFolder(tmp_path))
    train, test = content.splits["train"], content.splits["test"]
    assert test.images[:, 0, 0, 0].tolist() == [4, 9] * 3
    assert train.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 10] * 3
    assert test.labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_the_class_folders_may_lie_in_the_folder_itself(tmp_path: Path) -> None:
    for color in COLORS:
        for index in range(HELD_OUT_EVERY):
            write_picture(tmp_path / color / f"{index}.png", color=color)
    content = read(ImageFolder(tmp_path))
    assert content.classes == ("blue", "lime", "red")
    assert [len(content.splits[split].labels) for split in ("train", "test")] == [12, 3]


def test_files_that_systems_leave_behind_are_no_pictures(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (tmp_path / "train" / "red" / name).write_text("x")
    (tmp_path / "train" / ".cache").mkdir()
    assert len(read(folder).splits["train"].labels) == 9


def test_the_outline_counts_pictures_without_reading_them(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    (tmp_path / "train" / "red" / "broken.png").write_text("no picture")
    outline = folder.outline()
    assert outline.classes == ("blue", "lime", "red")
    assert outline.class_counts == {"train": (3, 3, 4), "test": (3, 3, 3)}


def test_an_empty_class_is_named(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    (tmp_path / "train" / "white").mkdir()
    (tmp_path / "test" / "white").mkdir()
    with pytest.raises(DatasetError, match=f"{tmp_path / 'train' / 'white'} is empty"):
        read(folder)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    broken = tmp_path / "test" / "lime" / "1.png"
    broken.write_bytes(broken.read_bytes()[:40])
    with pytest.raises(DatasetError, match=f"{re.escape(str(broken))} cannot be read"):
        read(folder)


def test_a_folder_within_a_class_folder_is_named(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    write_picture(tmp_path / "train" / "red" / "more" / "0.png")
    with pytest.raises(DatasetError, match=f"{tmp_path / 'train' / 'red' / 'more'} cannot be read"):
        read(folder)


def test_one_class_is_too_few(tmp_path: Path) -> None:
    write_picture(tmp_path / "train" / "red" / "0.png")
    write_picture(tmp_path / "test" / "red" / "0.png")
    with pytest.raises(DatasetError, match="two or more"):
        read(ImageFolder(tmp_path))


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_class_without_a_folder_in_one_split_is_named(tmp_path: Path, split: str) -> None:
    folder = make_folder(tmp_path)
    write_picture(tmp_path / split / "white" / "0.png")
    with pytest.raises(DatasetError, match="class white is in only one of"):
        read(folder)


def test_a_test_folder_alone_is_not_enough(tmp_path: Path) -> None:
    write_picture(tmp_path / "test" / "red" / "0.png")
    with pytest.raises(DatasetError, match="no folder train"):
        read(ImageFolder(tmp_path))


def test_too_few_pictures_to_hold_some_out_are_named(tmp_path: Path) -> None:
    for color in COLORS:
        write_picture(tmp_path / "train" / color / "0.png")
    with pytest.raises(DatasetError, match=r"class blue has 1 pictures.*5 or more"):
        read(ImageFolder(tmp_path))


def test_the_fingerprint_changes_with_every_change_of_a_file(tmp_path: Path) -> None:
    make_folder(tmp_path)
    seen = [ImageFolder(tmp_path).fingerprint()]
    assert ImageFolder(tmp_path).fingerprint() == seen[0]
    picture = tmp_path / "train" / "red" / "0.png"

    os.utime(picture, ns=(1, 1))
    seen.append(ImageFolder(tmp_path).fingerprint())
    picture.write_bytes(picture.read_bytes() + b"more")
    os.utime(picture, ns=(1, 1))
    seen.append(ImageFolder(tmp_path).fingerprint())
    picture.rename(picture.with_name("9.png"))
    seen.append(ImageFolder(tmp_path).fingerprint())
    write_picture(tmp_path / "test" / "red" / "9.png")
    seen.append(ImageFolder(tmp_path).fingerprint())
    (tmp_path / "test" / "red" / "0.png").unlink()
    seen.append(ImageFolder(tmp_path).fingerprint())
    assert len(set(seen)) == 6


def test_reading_stops_when_it_should(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    with pytest.raises(LoadStoppedError):
        folder.read(Events(), lambda: True)


def test_progress_is_told(tmp_path: Path) -> None:
    events = Events()
    make_folder(tmp_path).read(events, lambda: False)
    assert events.messages == ["decoded 9 of 9 train images", "decoded 9 of 9 test images"]
    assert events.data[0] == {"decoded": 9, "total": 9}
