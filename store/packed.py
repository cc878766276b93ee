"""Packed data sets: decoded pixels on disk, written once by the worker, mapped by both sides."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from store.durability import flush
from store.errors import DatasetError
from store.folders import list_folder
from store.images import Pixels
from store.refusals import explain_refusal

Split = Literal["train", "test"]
Labels = NDArray[np.int64]
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True)
class Examples:
    """Pictures (N, H, W, 3) and the index of each one's class (N,)."""

    images: Pixels
    labels: Labels


@dataclass(frozen=True)
class PackedDataset:
    """A data set on disk: `{train,test}-{images,labels}.npy` and `dataset.json` in `folder`.

    An index into a split means the same picture as long as `fingerprint` is the same.
    """

    folder: Path
    name: str
    description: str
    source: str
    fingerprint: str
    classes: tuple[str, ...]
    height: int
    width: int
    channels: int
    class_counts: Mapping[Split, tuple[int, ...]]

    def images(self, split: Split) -> Pixels:
        """Return the pictures of `split` (N, H, W, 3), mapped from disk and read-only."""
        return self._map(split, "images")

    def labels(self, split: Split) -> Labels:
        """Return the class index of each picture of `split` (N,)."""
        return self._map(split, "labels")

    def count(self, split: Split) -> int:
        return sum(self.class_counts[split])

    def _map(self, split: Split, part: str) -> NDArray[Any]:
        path = self.folder / f"{split}-{part}.npy"
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
        except (OSError, ValueError) as error:
            raise _unreadable(path, self.folder, error) from error


def open_packed(packed_folder: Path, name: str, fingerprint: str) -> PackedDataset | None:
    """Return the packed copy of exactly this content, or None where there is none."""
    return _open_folder(packed_folder / name / fingerprint)


def open_newest(packed_folder: Path, name: str) -> PackedDataset | None:
    """Return the copy of data set `name` that was packed last, or None where there is none."""
    copies = _list_packed(packed_folder / name)
    newest_first = sorted(copies, key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return next(filter(None, (_open_folder(path.parent) for path in newest_first)), None)


def packed_names(packed_folder: Path) -> list[str]:
    """Return the names of all packed data sets, sorted."""
    return sorted(folder.name for folder in list_folder(packed_folder) if _list_packed(folder))


def pack(
    packed_folder: Path,
    *,
    name: str,
    description: str,
    source: str,
    fingerprint: str,
    classes: tuple[str, ...],
    splits: Mapping[Split, Examples],
) -> PackedDataset:
    """Write the splits to `packed_folder/name/fingerprint` and return them as a data set.

    The folder appears under its name only when it is complete and on the disk. Where another
    process was faster, its copy is kept and returned.
    """
    _, height, width, channels = splits["train"].images.shape
    about = {
        "name": name,
        "description": description,
        "source": source,
        "fingerprint": fingerprint,
        "classes": classes,
        "height": height,
        "width": width,
        "channels": channels,
        "class_counts": {
            split: np.bincount(splits[split].labels, minlength=len(classes)).tolist()
            for split in SPLITS
        },
    }
    parent = packed_folder / name
    parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".packing-", dir=parent))
    try:
        _write_files(temporary, about, splits)
        _publish(temporary, parent / fingerprint)
    except OSError as error:
        advice = explain_refusal(error) or f"{error}: make room or make the folder writable"
        raise DatasetError(
            f"data set {name} cannot be packed into {parent}: {advice}", code="system_refused"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return _read_folder(parent / fingerprint)


def _list_packed(folder: Path) -> list[Path]:
    """Return the descriptions of the copies of one data set."""
    descriptions = (copy / "dataset.json" for copy in list_folder(folder))
    return [path for path in descriptions if path.is_file()]


def _open_folder(folder: Path) -> PackedDataset | None:
    return _read_folder(folder) if (folder / "dataset.json").is_file() else None


def _read_folder(folder: Path) -> PackedDataset:
    try:
        about = json.loads((folder / "dataset.json").read_text())
        about["classes"] = tuple(about["classes"])
        about["class_counts"] = {key: tuple(value) for key, value in about["class_counts"].items()}
        return PackedDataset(folder=folder, **about)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(folder / "dataset.json", folder, error) from error


def _unreadable(path: Path, folder: Path, error: Exception) -> DatasetError:
    if isinstance(error, OSError) and (refusal := explain_refusal(error)):
        return DatasetError(f"{path} cannot be read: {refusal}", code="system_refused")
    return DatasetError(
        f"{path} cannot be read ({error}): delete {folder}, "
        "and the next job packs the data set again"
    )


def _write_files(folder: Path, about: object, splits: Mapping[Split, Examples]) -> None:
    folder.chmod(0o755)  # mkdtemp's folder is private; the service may run as another user
    for split, examples in splits.items():
        for part, array in (("images", examples.images), ("labels", examples.labels)):
            with (folder / f"{split}-{part}.npy").open("wb") as file:
                np.save(file, array, allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
    with (folder / "dataset.json").open("w") as text_file:
        json.dump(about, text_file, indent=2)
        text_file.flush()
        os.fsync(text_file.fileno())


def _publish(temporary: Path, final: Path) -> None:
    """Rename the complete folder into place, and make the new name durable."""
    flush(temporary)
    try:
        temporary.rename(final)
    except OSError:
        if not (final / "dataset.json").exists():
            raise
    flush(final.parent)
