"""TrainingSpec: the frozen description of a job, checked by the service, obeyed by the worker."""

from collections.abc import Iterator
from copy import copy
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

NetworkName = Literal["lenet", "whitened_small", "whitened_medium", "whitened_residual"]
Optimizer = Literal["sgd", "adam", "adamw", "muon"]
Schedule = Literal["constant", "linear", "cosine", "one_cycle"]
Loss = Literal["cross_entropy", "mean_squared_error"]
Augmentation = Literal[
    "none",
    "flip",
    "flip_crop",
    "alternating_flip",
    "alternating_flip_crop",
    "alternating_flip_crop_cutout",
]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
MemoryFormat = Literal["auto", "contiguous", "channels_last"]
Compilation = Literal["off", "default", "reduce_overhead", "max_autotune"]
TestTimeAugmentation = Literal["none", "flip", "flip_shift"]
Parallelism = Literal["auto", "single", "data_parallel", "distributed"]

# One pattern for everything a user may name; such a name is safe in a URL and in a path.
NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
ModelReference = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}(@[a-z0-9][a-z0-9_-]{0,62})?$")
]
# Networks that take images of one size only.
FIXED_SIZE_NETWORKS = frozenset({"lenet"})


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
        default=0.001,
        gt=0,
        le=100,
        description="Highest learning rate of the schedule; of the convolutions where the "
        "optimizer is muon.",
    )
    bias_learning_rate: float = Field(
        default=0.05, gt=0, le=1000, description="Muon only: highest rate of the biases, by SGD."
    )
    head_learning_rate: float = Field(
        default=0.5, gt=0, le=100, description="Muon only: highest rate of the last layer, by SGD."
    )
    momentum: float = Field(
        default=0.9,
        ge=0,
        lt=1,
        description="Momentum of SGD (0 is the plain update) and of Muon, first beta of Adam "
        "and AdamW.",
    )
    weight_decay: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="L2 penalty of the update; with muon the share that a step at the highest rate "
        "takes off biases and last layer.",
    )
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
    crop_share: float = Field(
        default=0.125,
        gt=0,
        le=0.5,
        description="How far `crop` shifts an image, as a share of its side.",
    )
    start_scale: float = Field(
        default=1.0,
        ge=0.25,
        le=1,
        description="Scale of the images in the first steps: at .5 a step costs a quarter.",
    )
    full_scale_from: float = Field(
        default=0.8,
        gt=0,
        lt=1,
        description="Share of the run after which images have full size, where start_scale "
        "is below 1.",
    )
    test_time_augmentation: TestTimeAugmentation = Field(
        default="none",
        description="Views of an image that the published model averages: `flip` 2, "
        "`flip_shift` 6.",
    )
    precision: Precision = Field(
        default="auto", description="Number format of the arithmetic; `auto` is measured."
    )
    memory_format: MemoryFormat = Field(
        default="auto", description="Order of the pixels in memory; `auto` is measured."
    )
    compilation: Compilation = Field(
        default="off",
        description="torch.compile mode of the training step; `reduce_overhead` uses CUDA graphs.",
    )
    parallelism: Parallelism = Field(
        default="auto",
        description="`data_parallel` splits each batch over all GPUs in one process; "
        "`distributed` runs one process a GPU, or two on the CPU.",
    )
    ema_decay: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Decay a step of the moving average of the weights, which is what is "
        "evaluated and published; 0 is no average.",
    )
    validation_share: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description="Share of the training images held out: no batch has them, and the accuracy "
        "on them is measured after each epoch.",
    )
    patience_epochs: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Stop after so many epochs without a better accuracy on the held-out "
        "images, and publish the best weights. Needs validation_share.",
    )
    init_from: ModelReference | None = Field(
        default=None,
        description="A published model (`name`, `name@3`, `name@alias`) whose weights training "
        "begins with. Layers of another shape, such as those for other classes, begin anew.",
    )
    seed: int = Field(default=0, ge=0, lt=2**32, description="Seed of every random draw.")
    report_every_steps: int = Field(
        default=2000, ge=1, le=1_000_000, description="Steps between two running losses."
    )

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        for is_wrong, message in self._list_contradictions():
            if is_wrong:
                raise ValueError(message)
        return self

    def _list_contradictions(self) -> Iterator[tuple[bool, str]]:
        yield (
            self.loss == "mean_squared_error" and self.label_smoothing > 0,
            (
                "label_smoothing applies to the loss cross_entropy only: "
                "set label_smoothing to 0, or loss to cross_entropy"
            ),
        )
        yield (
            self.start_scale < 1 and self.network in FIXED_SIZE_NETWORKS,
            (
                f"{self.network} takes images of one size only: set start_scale to 1, "
                "or choose another network"
            ),
        )
        yield (
            self.patience_epochs is not None and self.validation_share == 0,
            "patience_epochs needs held-out images: set validation_share (say .1)",
        )
        yield (
            self.compilation != "off" and self.parallelism == "data_parallel",
            (
                "torch.compile has no effect on the replicas of data_parallel: set compilation "
                "to off, or parallelism to single or distributed"
            ),
        )


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
            spec=TrainingSpec(precision="fp32", memory_format="contiguous"),
        ),
        Recipe(
            name="quick",
            description=(
                "For CPUs: a whitened network of 32 to 128 channels, Muon, images that grow "
                "from 16 pixels, and the number format that this processor is fastest in."
            ),
            spec=TrainingSpec(
                network="whitened_small",
                epochs=20,
                batch_size=500,
                optimizer="muon",
                learning_rate=0.2,
                bias_learning_rate=25,
                head_learning_rate=0.75,
                momentum=0.6,
                schedule="one_cycle",
                label_smoothing=0.2,
                augmentation="alternating_flip_crop",
                crop_share=1 / 16,
                ema_decay=0.7,
                start_scale=0.5,
                full_scale_from=0.7,
                test_time_augmentation="flip_shift",
                report_every_steps=20,
            ),
        ),
        Recipe(
            name="speed94",
            description=(
                "For one GPU: a whitened network of 64 to 256 channels, Muon, eight epochs at "
                "batch size 2,000 in half precision."
            ),
            spec=TrainingSpec(
                network="whitened_medium",
                epochs=8,
                batch_size=2_000,
                optimizer="muon",
                learning_rate=0.24,
                bias_learning_rate=106,
                head_learning_rate=1.66,
                momentum=0.6,
                weight_decay=0.004,
                schedule="linear",
                label_smoothing=0.2,
                augmentation="alternating_flip_crop",
                crop_share=1 / 16,
                test_time_augmentation="flip_shift",
                precision="bf16",
                memory_format="channels_last",
                report_every_steps=25,
            ),
        ),
        Recipe(
            name="best",
            description=(
                "For one GPU: a whitened residual network of 128 to 512 channels, Muon, forty "
                "epochs at batch size 1,000, with larger crops and cutout."
            ),
            spec=TrainingSpec(
                network="whitened_residual",
                epochs=40,
                batch_size=1_000,
                optimizer="muon",
                learning_rate=0.12,
                bias_learning_rate=53,
                head_learning_rate=0.83,
                momentum=0.6,
                weight_decay=0.002,
                schedule="linear",
                label_smoothing=0.2,
                augmentation="alternating_flip_crop_cutout",
                crop_share=0.125,
                test_time_augmentation="flip_shift",
                precision="bf16",
                memory_format="channels_last",
                report_every_steps=50,
            ),
        ),
    ]
}
RecipeName = Literal["tutorial", "quick", "speed94", "best"]


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
    max_run_seconds: float | None = Field(
        default=None,
        gt=0,
        le=1e9,
        description="Longest time that workers spend on the job. Then it fails, keeping its last "
        "checkpoint; a retry gives it as long again.",
    )
    max_wait_seconds: float | None = Field(
        default=None,
        gt=0,
        le=1e9,
        description="Longest time in the queue; a job that nobody began by then fails.",
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
