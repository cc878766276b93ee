"""What can be known of a job before it is trained: that its data set and network go together."""

import os
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from store import catalogue, models, statistics
from store.errors import InvalidRequestError, LimitError, NotFoundError
from store.folders import list_folder
from store.settings import Settings
from store.specs import TrainingSpec
from store.tables import Dataset

_FLOAT32_BYTES = 4
# The images as the network takes them, and at least once more: as they were before augmentation,
# and as the gradient's way back needs them.
_BATCH_COPIES = 2
_QUEUE_RETRY_SECONDS = 10


def check_queue(session: Session, most_jobs: int, *, new_jobs: int) -> None:
    """Raise LimitError where `most_jobs` are in the queue beside the `new_jobs` of this request."""
    if statistics.count_waiting_jobs(session) - new_jobs >= most_jobs:
        raise LimitError(
            f"{most_jobs:,} jobs are in the queue, paused ones counted, which is as many as it "
            "takes: wait until some have begun, or cancel some.",
            code="queue_full",
            retry_after_seconds=_QUEUE_RETRY_SECONDS,
        )


def check_trainable(session: Session, spec: TrainingSpec, settings: Settings) -> None:
    """Raise InvalidRequestError where the job could only fail.

    What no worker has described yet is let through: the worker decides when it comes.
    """
    _check_initial_model(session, spec)
    known = {row.name: row for row in catalogue.list_datasets(session)}
    dataset = known.get(spec.dataset)
    if dataset is None:
        _check_exists(spec.dataset, known, settings.datasets_folder)
        return
    if dataset.state == "unusable":
        raise InvalidRequestError(
            f"The data set {spec.dataset} cannot be used: {dataset.description.get('problem')}",
            code="dataset_unusable",
        )
    _check_batch_size(spec, dataset.description)
    _check_batch_memory(spec, dataset.description, settings.limit_batch_bytes)
    _check_image_size(session, spec, dataset.description)


def _check_initial_model(session: Session, spec: TrainingSpec) -> None:
    if spec.init_from is None:
        return
    try:
        model = models.resolve(session, spec.init_from)
    except NotFoundError as error:
        raise InvalidRequestError(
            f"init_from names a model that does not exist. {error.message}",
            code="initial_model_unusable",
        ) from error
    if model.network != spec.network:
        raise InvalidRequestError(
            f"init_from names a {model.network} ({model.name}@{model.version}), the job would "
            f"train a {spec.network}: set network to {model.network}.",
            code="initial_model_unusable",
        )


def _check_exists(name: str, known: dict[str, Dataset], datasets_folder: Path) -> None:
    """Accept a folder that is newer than the catalogue, and anything while there is none."""
    # Compared with what exists, so that no path is made of what a client sent.
    if not known or name in {path.name for path in list_folder(datasets_folder)}:
        return
    raise InvalidRequestError(
        f"There is no data set {name!r}. Known: {', '.join(known)}. To add one, put images into "
        f"datasets/{name}/train/<class>/ in the data folder.",
        code="unknown_dataset",
        known=list(known),
    )


def _check_batch_size(spec: TrainingSpec, description: dict[str, Any]) -> None:
    counts = (description.get("class_counts") or {}).get("train")
    if counts and spec.batch_size > sum(counts):
        raise InvalidRequestError(
            f"batch_size {spec.batch_size} is more than the {sum(counts)} training images of "
            f"{spec.dataset}: set it to {sum(counts)} or less.",
            code="dataset_too_small",
        )


def _check_batch_memory(
    spec: TrainingSpec, description: dict[str, Any], limit_bytes: int | None
) -> None:
    height, width = description.get("height"), description.get("width")
    if height is None or width is None:
        return
    channels = 1 if spec.color == "grey" else 3
    image_bytes = channels * height * width * _FLOAT32_BYTES * _BATCH_COPIES
    limit = limit_bytes or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    largest = limit // image_bytes
    if spec.batch_size > largest:
        raise InvalidRequestError(
            f"A batch of {spec.batch_size:,} images of {height} by {width} pixels takes "
            f"{spec.batch_size * image_bytes:,} bytes for the images alone, and {limit:,} are "
            f"there: set batch_size to {largest:,} or less.",
            code="batch_too_large",
        )


def _check_image_size(session: Session, spec: TrainingSpec, description: dict[str, Any]) -> None:
    networks = {row.name: row for row in catalogue.list_networks(session)}
    height, width = description.get("height"), description.get("width")
    if spec.network not in networks or height is None or width is None:
        return
    smallest = networks[spec.network].description.get("smallest_side", 1)
    if min(height, width) < smallest:
        raise InvalidRequestError(
            f"The network {spec.network} needs images of at least {smallest} by {smallest} "
            f"pixels, those of {spec.dataset} have {height} by {width}: choose another network "
            "or data set.",
            code="images_too_small",
        )
