"""`/datasets`: what can be trained on, and what it looks like."""

import io
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from service.context import Context, ContextDependency
from service.openapi import COMMON_PROBLEMS, file_content, json_example, problem_responses
from service.parameters import DatasetName
from service.pictures import PICTURE_CONTENT, send_picture
from store import catalogue
from store.errors import ConflictError, NotFoundError
from store.packed import PackedDataset, Split, open_newest
from store.sample_grid import LARGEST_COUNT, sample_grid, sample_grid_svg
from store.tables import Dataset

router = APIRouter(
    prefix="/datasets", tags=["datasets"], responses=problem_responses(*COMMON_PROBLEMS)
)
_NOT_FOUND = problem_responses("dataset_not_found")
_PICTURES = problem_responses(
    "dataset_not_found", "dataset_not_ready", "dataset_unavailable", "internal_error"
)


class DatasetReply(BaseModel):
    """A data set that a job can name."""

    model_config = ConfigDict(extra="ignore")

    name: str
    description: str = ""
    state: Literal["ready", "available", "downloadable", "unusable"] = Field(
        description=(
            "`ready` to train on; `available` here, and packed before its first job; "
            "`downloadable`, fetched before its first job; `unusable`, see `problem`."
        )
    )
    classes: list[str] = Field(default=[], description="Names of the classes, in label order.")
    height: int | None = Field(default=None, description="Pixels; null until it is known.")
    width: int | None = Field(default=None, description="Pixels; null until it is known.")
    class_counts: dict[Split, list[int]] | None = Field(
        default=None, description="Images of each class, per split; null until it is known."
    )
    counts: dict[Split, int] | None = Field(
        default=None, description="Images per split; null until it is known."
    )
    fingerprint: str | None = Field(default=None, description="Changes when any image changes.")
    problem: str | None = Field(default=None, description="Why it is unusable, and what to do.")


class DatasetList(BaseModel):
    """All data sets, by name."""

    items: list[DatasetReply]


_EXAMPLE: dict[str, Any] = {
    "name": "shapes",
    "description": "shapes: 2 classes, 32 by 32 pixels",
    "state": "ready",
    "classes": ["circle", "square"],
    "height": 32,
    "width": 32,
    "class_counts": {"train": [1000, 1000], "test": [200, 200]},
    "counts": {"train": 2000, "test": 400},
    "fingerprint": "9f86d081884c7d65",
    "problem": None,
}

SplitQuery = Annotated[Split, Query(description="Which images.")]
SeedQuery = Annotated[int, Query(ge=0, lt=2**32, description="Another seed, other images.")]
CountQuery = Annotated[int, Query(ge=1, le=LARGEST_COUNT, description="How many images.")]


@router.get("", responses={200: json_example({"items": [_EXAMPLE]})})
def list_datasets(context: ContextDependency) -> DatasetList:
    """List the data sets that the workers have found."""
    with context.database.reading() as session:
        rows = catalogue.list_datasets(session)
    return DatasetList(items=[_describe(row) for row in rows])


@router.get("/{dataset_name}", responses={200: json_example(_EXAMPLE), **_NOT_FOUND})
def get_dataset(dataset_name: DatasetName, context: ContextDependency) -> DatasetReply:
    """Return one data set: classes, counts, image size, and whether it can be trained on."""
    with context.database.reading() as session:
        return _describe(catalogue.get_dataset(session, dataset_name))


@router.get(
    "/{dataset_name}/samples",
    response_class=Response,
    responses={
        200: {
            "description": "A PNG, each image with its class below it.",
            "content": file_content("image/png"),
        },
        **_PICTURES,
    },
)
def draw_dataset_samples(
    dataset_name: DatasetName,
    context: ContextDependency,
    split: SplitQuery = "train",
    seed: SeedQuery = 0,
    count: CountQuery = 16,
) -> Response:
    """Draw a grid of images with their labels. The same seed draws the same images."""
    dataset = _open(context, dataset_name)
    return send_picture(sample_grid(dataset, split, seed=seed, count=count), "png")


@router.get(
    "/{dataset_name}/samples.svg",
    response_class=Response,
    responses={
        200: {
            "description": "Each image with its class below it, as text.",
            "content": {"image/svg+xml": PICTURE_CONTENT["image/svg+xml"]},
        },
        **_PICTURES,
    },
)
def draw_dataset_samples_svg(
    dataset_name: DatasetName,
    context: ContextDependency,
    split: SplitQuery = "train",
    seed: SeedQuery = 0,
    count: CountQuery = 16,
) -> Response:
    """Draw the same grid as an SVG, for slides: sharp at any size, its words are words."""
    dataset = _open(context, dataset_name)
    return send_picture(sample_grid_svg(dataset, split, seed=seed, count=count), "svg")


@router.get(
    "/{dataset_name}/images/{split}/{index}",
    response_class=Response,
    responses={
        200: {"description": "The image as a PNG.", "content": file_content("image/png")},
        **_PICTURES,
        **problem_responses("dataset_not_found", "image_not_found"),
    },
)
def get_dataset_image(
    dataset_name: DatasetName,
    split: Annotated[Split, Path(description="Which images.")],
    index: Annotated[
        int, Path(ge=0, le=2**63 - 1, description="Number of the image in its split, from 0.")
    ],
    context: ContextDependency,
) -> Response:
    """Return one image as it is trained and tested on: a mistake of a report, say."""
    dataset = _open(context, dataset_name)
    count = dataset.count(split)
    if index >= count:
        raise NotFoundError(
            f"{dataset_name} has {count} {split} images: choose an index from 0 to {count - 1}.",
            code="image_not_found",
        )
    content = io.BytesIO()
    Image.fromarray(dataset.images(split)[index]).save(content, format="PNG")
    return send_picture(content.getvalue(), "png")


def _describe(row: Dataset) -> DatasetReply:
    reply = DatasetReply.model_validate({**row.description, "name": row.name, "state": row.state})
    if reply.class_counts is not None:
        reply.counts = {split: sum(counts) for split, counts in reply.class_counts.items()}
    return reply


def _open(context: Context, name: str) -> PackedDataset:
    """Return the packed copy. Raises ConflictError (`dataset_not_ready`) when there is none."""
    with context.database.reading() as session:
        row = catalogue.get_dataset(session, name)
    # The name is the worker's word, not the client's. A worker that trains describes nothing, so
    # the copy may be newer than its description.
    packed = open_newest(context.settings.packed_folder, row.name)
    if packed is None:
        raise ConflictError(
            f"The images of {name} have not been packed on this machine: POST a job that uses "
            "it, or wait until a worker has packed it.",
            code="dataset_not_ready",
        )
    return packed
