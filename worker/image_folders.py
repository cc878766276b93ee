"""Data sets as folders of pictures: `train/<class>/*` and `test/<class>/*`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from store.errors import DatasetError
from store.folders import list_folder
from store.packed import SPLITS, Examples, Split
from worker.dataset_sources import Content, Notify, Outline, ShouldStop, digest
from worker.decoding import Decoder, SizesDifferError, decode_file

# Pictures that share one size keep it up to this side; all others are brought to COMMON_SIDE.
LARGEST_NATIVE_SIDE = 128
COMMON_SIDE = 64
# Without a test folder, every fifth picture of a class (in the order of the names) is held out.
HELD_OUT_EVERY = 5

_IGNORED_NAMES = {"thumbs.db", "desktop.ini"}
_FEWEST_CLASSES = 2


@dataclass(frozen=True)
class _File:
    path: Path
    label: int


@dataclass(frozen=True)
class ImageFolder:
    """Pictures in `folder/train/<class>/` and `folder/test/<class>/`.

    The order is that of the class names, then of the file names. Without `test`, a fifth of each
    class is held out; without both, the class folders may lie in `folder` itself.
    """

    folder: Path
    description = "an image folder"
    state: Literal["available"] = "available"

    def fingerprint(self) -> str:
        """Digest of every file's name, size and time of change; no file is read."""
        parts = []
        for folder in self._class_folders():
            with _named_errors(folder), os.scandir(folder) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    about = entry.stat()
                    parts.append(f"{entry.path} {about.st_size} {about.st_mtime_ns}")
        return digest([*parts, f"{LARGEST_NATIVE_SIDE} {COMMON_SIDE} {HELD_OUT_EVERY}"])

    def glance(self) -> str:
        """As `fingerprint`, from the folders alone: a file changed in place may be missed."""
        times = []
        for folder in self._class_folders():
            with _named_errors(folder):
                times.append(folder.stat().st_mtime_ns)
        return _fingerprint_since(self, tuple(times))

    def _class_folders(self) -> list[Path]:
        return [folder / name for folder in self._split_folders.values() for name in self.classes]

    def read(self, notify: Notify, should_stop: ShouldStop) -> Content:
        files = self.files()
        width, height = decode_file(files["train"][0].path).size
        if max(width, height) <= LARGEST_NATIVE_SIDE:
            native = Decoder((width, height), notify, should_stop, resizes=False)
            with suppress(SizesDifferError):
                return self._decode(files, native)
        common = Decoder((COMMON_SIDE, COMMON_SIDE), notify, should_stop, resizes=True)
        return self._decode(files, common)

    def _decode(self, files: dict[Split, list[_File]], decoder: Decoder) -> Content:
        splits = {
            split: Examples(
                decoder.decode([file.path for file in files[split]], f"{split} images"),
                np.array([file.label for file in files[split]], dtype=np.int64),
            )
            for split in SPLITS
        }
        return Content(self.classes, splits)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        names = {split: _subfolders(folder) for split, folder in self._split_folders.items()}
        for split, found in names.items():
            for name in sorted(set(names["train"]) ^ set(found)):
                raise DatasetError(
                    f"class {name} is in only one of {self.folder}/train and {self.folder}/{split}:"
                    " give every class a folder in both"
                )
        if len(names["train"]) < _FEWEST_CLASSES:
            raise DatasetError(
                f"{self._split_folders['train']} holds {len(names['train'])} class folders: a "
                "classifier needs two or more, each a folder of pictures named after its class"
            )
        return tuple(names["train"])

    def files(self) -> dict[Split, list[_File]]:
        """Return every picture's file in the order that its index refers to."""
        found: dict[Split, list[_File]] = {
            split: [
                _File(path, label)
                for label, name in enumerate(self.classes)
                for path in _pictures(folder / name)
            ]
            for split, folder in self._split_folders.items()
        }
        return found if "test" in found else self._hold_out(found["train"])

    def outline(self) -> Outline:
        counts: dict[Split, tuple[int, ...]] = {
            split: tuple(
                np.bincount([file.label for file in files], minlength=len(self.classes)).tolist()
            )
            for split, files in self.files().items()
        }
        return Outline(self.classes, counts)

    @cached_property
    def _split_folders(self) -> dict[Split, Path]:
        train, test = self.folder / "train", self.folder / "test"
        if train.is_dir():
            return {"train": train, "test": test} if test.is_dir() else {"train": train}
        if test.is_dir():
            raise DatasetError(
                f"{self.folder} has a folder test but no folder train: "
                "put the pictures to learn from into train/<class>/"
            )
        return {"train": self.folder}

    def _hold_out(self, files: list[_File]) -> dict[Split, list[_File]]:
        split: dict[Split, list[_File]] = {"train": [], "test": []}
        for label, name in enumerate(self.classes):
            of_class = [file for file in files if file.label == label]
            if len(of_class) < HELD_OUT_EVERY:
                raise DatasetError(
                    f"class {name} has {len(of_class)} pictures and there is no test folder: give "
                    f"each class {HELD_OUT_EVERY} or more, or add test/<class>/ in {self.folder}"
                )
            split["test"] += of_class[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]
            split["train"] += [
                file for at, file in enumerate(of_class, start=1) if at % HELD_OUT_EVERY
            ]
        return split


@lru_cache(maxsize=100)
def _fingerprint_since(source: ImageFolder, folder_times: tuple[int, ...]) -> str:
    """Return the fingerprint of `source`; the times are here to be compared with earlier ones."""
    del folder_times
    return source.fingerprint()


@contextmanager
def _named_errors(folder: Path) -> Iterator[None]:
    """Turn what the system says about files in `folder` into a DatasetError."""
    try:
        yield
    except OSError as error:
        raise DatasetError(
            f"{error.filename or folder} cannot be read ({error.strerror}): make the folder and "
            "its files readable, and delete links that lead nowhere"
        ) from error


def is_image_folder(folder: Path) -> bool:
    """Tell whether `folder` is laid out as an image folder (its pictures are not looked at)."""
    if (folder / "train").is_dir() or (folder / "test").is_dir():
        return True
    return any(_is_class_folder(path) for path in _subpaths(folder))


def _is_class_folder(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".") and not (path / "batches.meta").exists()


def _subpaths(folder: Path) -> list[Path]:
    with _named_errors(folder):
        return sorted(list_folder(folder))


def _subfolders(folder: Path) -> list[str]:
    return [path.name for path in _subpaths(folder) if _is_class_folder(path)]


def _pictures(folder: Path) -> list[Path]:
    """Return the files of one class, sorted by name."""
    paths = [
        path
        for path in _subpaths(folder)
        if not path.name.startswith(".") and path.name.lower() not in _IGNORED_NAMES
    ]
    if not paths:
        raise DatasetError(
            f"class folder {folder} is empty: put pictures into it, or delete it in every split"
        )
    return paths
