"""The fields of a training job, written once for requests, replies and the flags of `train`."""

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
    optimizer: Annotated[str, "Update rule: sgd, adam or adamw."]
    learning_rate: Annotated[float, "Highest learning rate of the schedule."]
    momentum: Annotated[float, "Momentum of SGD, first beta of Adam and AdamW."]
    weight_decay: Annotated[float, "L2 penalty of the update."]
    schedule: Annotated[str, "Learning rate over the run: constant, linear, cosine or one_cycle."]
    loss: Annotated[str, "cross_entropy or mean_squared_error."]
    label_smoothing: Annotated[float, "Share of the target spread over all classes."]
    augmentation: Annotated[str, "Random changes to each image: none, flip or flip_crop."]
    precision: Annotated[str, "Number format: auto, fp32, bf16 or fp16."]
    parallelism: Annotated[str, "auto, single or data_parallel (all GPUs)."]
    seed: Annotated[int, "Seed of every random draw."]
    report_every_steps: Annotated[int, "Steps between two running losses."]


class SpecField(NamedTuple):
    """A field of TrainingSpec: its Python type, and what it means."""

    kind: type
    description: str


def list_spec_fields() -> dict[str, SpecField]:
    """Return the fields by name, in the order of TrainingSpec."""
    hints = get_type_hints(TrainingSpec, include_extras=True)
    return {name: SpecField(*get_args(hint)) for name, hint in hints.items()}
