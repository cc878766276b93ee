"""Where pictures come from: drawn, an image folder, the official CIFAR-10 batches, a download."""

import hashlib
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import check_integrity

from store.errors import DatasetError
from store.packed import SPLITS, Examples, Split
from worker import shapes

Notify = Callable[[str, str, dict[str, Any]], None]
ShouldStop = Callable[[], bool]

_DOWNLOAD_CHUNK_BYTES = 1 << 18
_DOWNLOAD_TIMEOUT_SECONDS = 30


_CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


class LoadStoppedError(Exception):
    """`should_stop` answered yes while a data set was being loaded."""


@dataclass(frozen=True)
class Content:
    """A data set read into memory."""

    classes: tuple[str, ...]
    splits: dict[Split, Examples]


@dataclass(frozen=True)
class Outline:
    """What is known of a data set before a picture is read."""

    classes: tuple[str, ...]
    class_counts: dict[Split, tuple[int, ...]]
    height: int | None = None
    width: int | None = None


class Source(Protocol):
    """A place that a data set can be read from.

    `fingerprint` changes with the content and opens no file; `glance` is the same for those who
    ask every few seconds, and may miss a change within a file. What cannot be read raises
    DatasetError with one sentence that says what to do; `read` raises LoadStoppedError soon after
    `should_stop` answers yes.
    """

    @property
    def description(self) -> str: ...

    @property
    def state(self) -> Literal["available", "downloadable"]: ...

    def fingerprint(self) -> str: ...

    def glance(self) -> str: ...

    def outline(self) -> Outline: ...

    def read(self, notify: Notify, should_stop: ShouldStop) -> Content: ...


class Shapes:
    """Ten classes of drawn shapes, made when needed."""

    description = "drawn by Tenfold: ten shapes, 32 pixels a side"
    state: Literal["available"] = "available"

    def fingerprint(self) -> str:
        return digest(["shapes", str(shapes.VERSION), str(shapes.COUNTS)])

    glance = fingerprint

    def outline(self) -> Outline:
        classes = shapes.CLASSES
        counts = {
            split: (count // len(classes),) * len(classes) for split, count in shapes.COUNTS.items()
        }
        return Outline(classes, counts, shapes.SIDE, shapes.SIDE)

    def read(self, notify: Notify, should_stop: ShouldStop) -> Content:
        del notify, should_stop  # it takes about a second
        return Content(shapes.CLASSES, {split: shapes.draw(split) for split in SPLITS})


@dataclass(frozen=True)
class OfficialBatches:
    """CIFAR-10 as its authors publish it: `cifar-10-batches-py`, or the archive that holds it.

    Every file's checksum is torchvision's and is verified before the file is unpickled.
    """

    folder: Path
    description = "the official CIFAR-10 batches (Krizhevsky, 2009)"

    @property
    def archive(self) -> Path:
        return self.folder / str(CIFAR10.filename)

    @property
    def state(self) -> Literal["available", "downloadable"]:
        found = (self.folder / CIFAR10.base_folder).is_dir() or self.archive.is_file()
        return "available" if found else "downloadable"

    def fingerprint(self) -> str:
        # The checksums pin the content, so no file needs to be read.
        return digest(md5 for _, md5 in CIFAR10.train_list + CIFAR10.test_list)

    glance = fingerprint

    def outline(self) -> Outline:
        counts: dict[Split, tuple[int, ...]] = {"train": (5000,) * 10, "test": (1000,) * 10}
        return Outline(_CIFAR10_CLASSES, counts, 32, 32)

    def read(self, notify: Notify, should_stop: ShouldStop) -> Content:
        if self.state == "downloadable":
            self._download(notify, should_stop)
        if should_stop():
            raise LoadStoppedError
        try:
            # `download=True` unpacks the archive where it must; it is here, so nothing is fetched.
            parts = {
                split: CIFAR10(self.folder, train=split == "train", download=self.archive.is_file())
                for split in SPLITS
            }
        except (RuntimeError, OSError, EOFError) as error:
            raise DatasetError(
                f"the CIFAR-10 batches in {self.folder} are incomplete or damaged: delete "
                f"{CIFAR10.base_folder} and {CIFAR10.filename} there, and put the complete "
                "archive in their place"
            ) from error
        splits = {
            split: Examples(np.ascontiguousarray(part.data), np.array(part.targets, np.int64))
            for split, part in parts.items()
        }
        return Content(tuple(parts["train"].classes), splits)

    def _download(self, notify: Notify, should_stop: ShouldStop) -> None:
        """Fetch the archive; it appears under its name only when its checksum is right."""
        partial = self.archive.with_suffix(".partial")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _fetch(CIFAR10.url, partial, notify, should_stop)
            if not check_integrity(partial, CIFAR10.tgz_md5):
                raise DatasetError(
                    f"what {CIFAR10.url} sent has a wrong checksum: submit the job again, or "
                    f"put {CIFAR10.filename} into {self.folder} yourself"
                )
            partial.replace(self.archive)
        except OSError as error:
            raise DatasetError(
                f"CIFAR-10 is not on this machine and cannot be downloaded ({error}): put "
                f"{CIFAR10.filename}, or the pictures as train/<class>/* and test/<class>/*, "
                f"into {self.folder}"
            ) from error
        finally:
            partial.unlink(missing_ok=True)


def _fetch(url: str, target: Path, notify: Notify, should_stop: ShouldStop) -> None:
    """Download `url`, and tell about every tenth of it."""
    with (
        urllib.request.urlopen(url, timeout=_DOWNLOAD_TIMEOUT_SECONDS) as response,  # noqa: S310
        target.open("wb") as file,
    ):
        total = int(response.headers.get("Content-Length") or 0)
        received = told_tenths = 0
        while chunk := response.read(_DOWNLOAD_CHUNK_BYTES):
            if should_stop():
                raise LoadStoppedError
            file.write(chunk)
            received += len(chunk)
            if total and received * 10 // total > told_tenths:
                told_tenths = received * 10 // total
                notify(
                    "download",
                    f"downloaded {told_tenths * 10} % of {url}",
                    {"received_bytes": received, "total_bytes": total},
                )


def digest(parts: Iterable[str]) -> str:
    """Return 16 hexadecimal digits that change with any of `parts`."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
