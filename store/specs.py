"""TrainingSpec: the frozen description of a job, checked by the service, obeyed by the worker."""

from copy import copy
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

NetworkName = Literal["lenet"]
Optimizer = Literal["sgd", "adam", "adamw"]
Schedule = Literal["constant", "linear", "cosine", "one_cycle"]
Loss = Literal["cross_entropy", "mean_squared_error"]
Augmentation = Literal["none", "flip", "flip_crop"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
Parallelism = Literal["auto", "single", "data_parallel"]

# One pattern for everything a user may name; such a name is safe in a URL and in a path.
NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]


class TrainingSpec(BaseModel):
    """Everything that decides what a job computes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: Name = Field(default="cifar10", description="Name of the data set.")
    network: NetworkName = Field(default="lenet", description="Name of the network.")
    color: Literal["rgb", "grey"] = Field(
        default="rgb", description="`grey` trains the one-channel variant on grey images."
    )
    epochs: int = Field(default=2, ge=1, le=10_000, description="Passes over the training images.")
    batch_size: int = Field(default=4, ge=1, le=65_536, description="Images a step.")
    optimizer: Optimizer = Field(default="sgd", description="Update rule.")
    learning_rate: float = Field(
        default=0.001, gt=0, le=100, description="Highest learning rate of the schedule."
    )
    momentum: float = Field(
        default=0.9,
        ge=0,
        lt=1,
        description="Momentum of SGD (0 is the plain update), first beta of Adam and AdamW.",
    )
    weight_decay: float = Field(default=0.0, ge=0, le=1, description="L2 penalty of the update.")
    schedule: Schedule = Field(
        default="constant", description="How the learning rate moves over the whole run."
    )
    loss: Loss = Field(
        default="cross_entropy",
        description="`mean_squared_error` compares the outputs with one-hot targets.",
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the target spread over all classes."
    )
    augmentation: Augmentation = Field(
        default="none", description="Random changes to each training image."
    )
    precision: Precision = Field(default="auto", description="Number format of the arithmetic.")
    parallelism: Parallelism = Field(
        default="auto", description="`data_parallel` splits each batch over all GPUs."
    )
    seed: int = Field(default=0, ge=0, lt=2**32, description="Seed of every random draw.")
    report_every_steps: int = Field(
        default=2000, ge=1, le=1_000_000, description="Steps between two running losses."
    )

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        if self.loss == "mean_squared_error" and self.label_smoothing:
            raise ValueError(
                "label_smoothing applies to the loss cross_entropy only: "
                "set label_smoothing to 0, or loss to cross_entropy"
            )
        return self


class Recipe(BaseModel):
    """A named, complete TrainingSpec."""

    model_config = ConfigDict(frozen=True)

    name: str
    description: str
    spec: TrainingSpec


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in [
        Recipe(
            name="tutorial",
            description=(
                "The classic PyTorch lesson: a small convolutional network, cross-entropy, "
                "SGD with momentum, two epochs at batch size 4."
            ),
            spec=TrainingSpec(),
        ),
    ]
}
RecipeName = Literal["tutorial"]


def _as_optional_fields() -> dict[str, Any]:
    """Each field of TrainingSpec with the same bounds and the default None."""
    fields = {}
    for name, field in TrainingSpec.model_fields.items():
        optional = copy(field)
        optional.default = None
        fields[name] = (field.annotation | None, optional)  # type: ignore[operator]
    return fields


# The overrides mirror TrainingSpec field by field, so they are derived rather than written twice.
_Overrides = create_model(
    "_Overrides", __config__=ConfigDict(frozen=True, extra="forbid"), **_as_optional_fields()
)


class JobRequest(_Overrides):
    """What a client asks for: a recipe, and the fields of it to change."""

    recipe: RecipeName = Field(default="tutorial", description="The TrainingSpec to start from.")
    model: Name | None = Field(
        default=None,
        description="Name to publish the model under. Default: `<dataset>-<recipe>`.",
    )
    priority: int = Field(
        default=0, ge=-100, le=100, description="Queued jobs of higher priority run first."
    )

    def resolve(self) -> TrainingSpec:
        """Return the recipe with this request's own fields on top.

        Raises pydantic.ValidationError where the combination is not a legal TrainingSpec.
        """
        own = self.model_dump(
            include=set(TrainingSpec.model_fields), exclude_none=True, exclude_unset=True
        )
        return TrainingSpec(**(RECIPES[self.recipe].spec.model_dump() | own))

    def resolve_model_name(self) -> str:
        return self.model or f"{self.resolve().dataset}-{self.recipe}"
