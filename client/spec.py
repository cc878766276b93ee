"""The fields of a training job, written once for requests, replies and the flags of `train`."""

from types import NoneType
from typing import Annotated, NamedTuple, get_args, get_type_hints

from pydantic import ConfigDict, with_config

# Pydantic takes the TypedDict of `typing` only from Python 3.12 on.
from typing_extensions import TypedDict


@with_config(ConfigDict(extra="allow"))
class TrainingSpec(TypedDict, total=False):
    """What a job computes. A reply has every field; a request has those that differ.

    Words like the name of an optimizer are plain strings here, so that a newer service may know
    more of them; the service checks each and names the legal ones.
    """

    dataset: Annotated[str, "Name of the data set."]
    network: Annotated[str, "Name of the network."]
    color: Annotated[str, "rgb, or grey for the one-channel variant."]
    epochs: Annotated[int, "Passes over the training images."]
    batch_size: Annotated[int, "Images a step."]
    optimizer: Annotated[str, "Update rule: sgd, adam, adamw or muon."]
    learning_rate: Annotated[float, "Highest learning rate of the schedule."]
    bias_learning_rate: Annotated[float, "Muon only: highest rate of the biases, by SGD."]
    head_learning_rate: Annotated[float, "Muon only: highest rate of the last layer, by SGD."]
    momentum: Annotated[float, "Momentum of SGD and Muon, first beta of Adam and AdamW."]
    weight_decay: Annotated[float, "L2 penalty of the update; with muon of biases and last layer."]
    schedule: Annotated[str, "Learning rate over the run: constant, linear, cosine or one_cycle."]
    loss: Annotated[str, "cross_entropy or mean_squared_error."]
    label_smoothing: Annotated[float, "Share of the target spread over all classes."]
    augmentation: Annotated[str, "Random changes to each image: none, flip, flip_crop and others."]
    crop_share: Annotated[float, "How far a crop shifts an image, as a share of its side."]
    start_scale: Annotated[float, "Scale of the images in the first steps."]
    full_scale_from: Annotated[float, "Share of the run after which images have full size."]
    test_time_augmentation: Annotated[str, "Views that are averaged: none, flip or flip_shift."]
    precision: Annotated[str, "Number format: auto, fp32, bf16 or fp16."]
    memory_format: Annotated[str, "Order of the pixels: auto, contiguous or channels_last."]
    compilation: Annotated[str, "off, or the mode of torch.compile."]
    parallelism: Annotated[str, "auto, single, data_parallel or distributed."]
    ema_decay: Annotated[float, "Decay a step of the moving average of the weights; 0 is none."]
    validation_share: Annotated[float, "Share of the training images held out."]
    patience_epochs: Annotated[int | None, "Epochs without a better accuracy before stopping."]
    init_from: Annotated[str | None, "Published model whose weights training begins with."]
    seed: Annotated[int, "Seed of every random draw."]
    report_every_steps: Annotated[int, "Steps between two running losses."]


class SpecField(NamedTuple):
    """A field of TrainingSpec: its Python type where it has a value, and what it means."""

    kind: type
    description: str


def list_spec_fields() -> dict[str, SpecField]:
    """Return the fields by name, in the order of TrainingSpec."""
    hints = get_type_hints(TrainingSpec, include_extras=True)
    fields = {}
    for name, hint in hints.items():
        kind, description = get_args(hint)
        (kind,) = set(get_args(kind) or [kind]) - {NoneType}
        fields[name] = SpecField(kind, description)
    return fields
