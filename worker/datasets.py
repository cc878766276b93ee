"""The data sets that this machine can train on: found by name, packed once, mapped afterwards."""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

from store import packed
from store.catalogue import put_dataset
from store.database import Database
from store.errors import DatasetError
from store.folders import list_folder
from store.packed import PackedDataset, Split
from store.settings import Settings
from store.specs import NAME_PATTERN
from worker.dataset_sources import (
    LoadStoppedError,
    Notify,
    OfficialBatches,
    Shapes,
    ShouldStop,
    Source,
)
from worker.image_folders import ImageFolder, is_image_folder

__all__ = [
    "CatalogueEntry",
    "LoadStoppedError",
    "Notify",
    "announce",
    "catalogue",
    "find",
    "load",
]

BUILT_IN = ("cifar10", "shapes")


@dataclass(frozen=True)
class CatalogueEntry:
    """One data set that a job can name now, and what is known of it before it is packed."""

    name: str
    description: str
    state: Literal["ready", "available", "downloadable", "unusable"]
    classes: tuple[str, ...] = ()
    class_counts: dict[Split, tuple[int, ...]] | None = None
    height: int | None = None
    width: int | None = None
    fingerprint: str | None = None
    problem: str | None = None


def find(name: str, settings: Settings) -> Source:
    """Return the best source of data set `name`.

    In this order: the user's own image folder, the official batches (CIFAR-10), what is drawn or
    downloaded. Raises DatasetError where there is none.
    """
    folder = settings.datasets_folder / name
    if is_image_folder(folder):
        return ImageFolder(folder)
    if name == "cifar10":
        return OfficialBatches(folder)
    if name == "shapes":
        return Shapes()
    known = ", ".join(_names(settings))
    raise DatasetError(
        f"there is no data set {name}: put its pictures into {folder} as train/<class>/* and "
        f"test/<class>/*, or choose one of {known}"
    )


def load(
    name: str,
    settings: Settings,
    notify: Notify,
    should_stop: ShouldStop = lambda: False,
) -> PackedDataset:
    """Return data set `name`, packed; the first call packs it, later ones take milliseconds.

    `notify(kind, message, data)` hears of progress. A packed copy whose source has gone is used as
    it is. Raises DatasetError with one sentence that says what to do, and LoadStoppedError soon
    after `should_stop` answers yes.
    """
    copy = _find_copy(name, settings, lambda source: source.fingerprint())
    return copy or _pack(name, find(name, settings), settings, notify, should_stop)


def catalogue(settings: Settings) -> list[CatalogueEntry]:
    """Return every data set that can be named now, sorted by name; no picture is read."""
    return [_describe(name, settings) for name in _names(settings)]


def announce(name: str, settings: Settings, database: Database) -> None:
    """Tell the web process what data set `name` is now: ready, once it is packed."""
    entry = _describe(name, settings)
    with database.writing() as session:
        put_dataset(session, name, asdict(entry))


def _pack(
    name: str,
    source: Source,
    settings: Settings,
    notify: Notify,
    should_stop: ShouldStop,
) -> PackedDataset:
    notify("packing", f"packing data set {name} from {source.description}", {"dataset": name})
    fingerprint = source.fingerprint()
    content = source.read(notify, should_stop)
    copy = packed.pack(
        settings.packed_folder,
        name=name,
        description=_summarise(name, content.classes, content.splits["train"].images.shape),
        source=source.description,
        fingerprint=fingerprint,
        classes=content.classes,
        splits=content.splits,
    )
    counts = {split: copy.count(split) for split in packed.SPLITS}
    notify(
        "packed",
        f"packed data set {name}: {counts['train']:,} training and {counts['test']:,} test images",
        {"dataset": name, "fingerprint": fingerprint, "counts": counts},
    )
    return copy


def _summarise(name: str, classes: tuple[str, ...], shape: tuple[int, ...]) -> str:
    _, height, width, _ = shape
    return f"{name}: {len(classes)} classes, images of {height} by {width} pixels"


def _names(settings: Settings) -> list[str]:
    folders = (path for path in list_folder(settings.datasets_folder) if path.is_dir())
    own = {path.name for path in folders if not path.name.startswith(".")}
    return sorted({*BUILT_IN, *own, *packed.packed_names(settings.packed_folder)})


def _describe(name: str, settings: Settings) -> CatalogueEntry:
    try:
        _check_name(name)
        return _describe_usable(name, settings)
    except DatasetError as error:
        return CatalogueEntry(name, "an image folder", "unusable", problem=error.message)


def _check_name(name: str) -> None:
    if not re.fullmatch(NAME_PATTERN, name):
        raise DatasetError(
            f"no job can name {name!r}: rename the folder, with lower-case letters, digits, - and _"
        )


def _describe_usable(name: str, settings: Settings) -> CatalogueEntry:
    copy = _find_copy(name, settings, lambda source: source.glance())
    if copy is not None:
        return CatalogueEntry(
            name,
            copy.description,
            "ready",
            copy.classes,
            dict(copy.class_counts),
            copy.height,
            copy.width,
            copy.fingerprint,
        )
    source = find(name, settings)
    about = source.outline()
    return CatalogueEntry(
        name,
        source.description,
        source.state,
        about.classes,
        about.class_counts,
        about.height,
        about.width,
    )


def _find_copy(
    name: str, settings: Settings, look_at: Callable[[Source], str]
) -> PackedDataset | None:
    """Return the packed copy of what `find` finds, or the last one where nothing is found."""
    try:
        source = find(name, settings)
    except DatasetError:
        source = None
    if source is not None and source.state == "available":
        return packed.open_packed(settings.packed_folder, name, look_at(source))
    return packed.open_newest(settings.packed_folder, name)
