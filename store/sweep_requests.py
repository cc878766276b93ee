"""SweepRequest: what a client asks of a sweep, and everything that can be wrong with it."""

import math
from collections.abc import Iterator
from decimal import Decimal
from itertools import combinations, product
from types import NoneType
from typing import Any, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from store.specs import JobRequest, TrainingSpec

Scalar = bool | int | float | str | None
Number = int | float

DEFAULT_VALIDATION_SHARE = 0.1

# What the trials must have in common, because they are compared on the same held-out images.
_COMMON_FIELDS = frozenset({"dataset", "seed", "validation_share"})


class Dimension(BaseModel):
    """The values of one spec field that trials may have: `choices`, or a range."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    choices: list[Scalar] | None = Field(
        default=None, min_length=1, max_length=100, description="The values to choose from."
    )
    low: Number | None = Field(default=None, description="The smallest value of a range.")
    high: Number | None = Field(default=None, description="The largest value of a range.")
    step: Number | None = Field(
        default=None, gt=0, description="Only `low` plus multiples of it; 1 for whole numbers."
    )
    log: bool = Field(
        default=False, description="Draw by the logarithm: as many from 1 to 10 as from 10 to 100."
    )

    def count_values(self, *, is_whole: bool) -> int | None:
        """Return how many values there are, or None where there is no end of them."""
        if self.choices is not None:
            return len(self.choices)
        if self.low is None or self.high is None or self.low == self.high:
            return 1
        step = self.step or (1 if is_whole else None)
        return None if step is None else 1 + int(_count_steps(self.low, self.high, step))

    def list_ends(self) -> list[Scalar]:
        """Return the values between which all others are."""
        return self.choices if self.choices is not None else [self.low, self.high]


class Fault(NamedTuple):
    """What is wrong, and where in the request."""

    path: tuple[str, ...]
    message: str


class SweepRequest(BaseModel):
    """What a client asks for: jobs that differ in some fields, to find the best of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: JobRequest = Field(
        default_factory=JobRequest,
        description="What all trials have in common, as for POST /jobs. Without a "
        "validation_share of its own, a tenth of the training images is held out.",
    )
    space: dict[str, Dimension] = Field(
        min_length=1, max_length=20, description="Fields of the spec, and the values to try."
    )
    trials: int = Field(ge=1, le=1_000, description="How many jobs to train.")
    parallel_trials: int = Field(
        default=1, ge=1, le=64, description="How many of them may be queued or run at once."
    )
    sampler: Literal["tpe", "random"] = Field(
        default="tpe",
        description="`tpe` learns from earlier trials where good values are, after ten at "
        "random; `random` does not.",
    )
    sampler_seed: int = Field(default=0, ge=0, lt=2**32, description="Seed of the sampler.")
    pruner: Literal["median", "none"] = Field(
        default="median",
        description="`median` stops a trial whose accuracy is below the median of the finished "
        "trials at the same epoch.",
    )
    pruner_startup_trials: int = Field(
        default=5, ge=1, le=1_000, description="Finished trials before any is pruned."
    )
    pruner_warmup_epochs: int = Field(
        default=1, ge=0, le=10_000, description="Epochs that every trial may train."
    )

    def complete_job(self) -> JobRequest:
        """Return the common part with a share of the images held out."""
        share = self.job.resolve().validation_share or DEFAULT_VALIDATION_SHARE
        return self._override(validation_share=share)

    def make_trial(self, params: dict[str, Any]) -> JobRequest:
        """Return the job of one trial. Raises pydantic.ValidationError."""
        share = {"validation_share": self.complete_job().resolve().validation_share}
        return self._override(**share, **params)

    def list_ends(self) -> list[JobRequest]:
        """Return jobs with each field at the ends of its dimension, the others at their first."""
        first = {name: dimension.list_ends()[0] for name, dimension in self.space.items()}
        return [
            self.make_trial(first | {name: value})
            for name, dimension in self.space.items()
            for value in dimension.list_ends()
        ]

    def list_faults(self) -> list[Fault]:
        """Return what is wrong between the fields; [] is good."""
        faults = [
            fault
            for name, dimension in self.space.items()
            for fault in _check_dimension(name, dimension)
        ]
        return faults or [*self._check_job(), *self._check_count()] or [*self._check_pairs()]

    def count_combinations(self) -> int | None:
        """Return how many different trials there can be; None where there is no end of them."""
        count = 1
        for name, dimension in self.space.items():
            values = dimension.count_values(is_whole=get_kind(name) is int)
            if values is None:
                return None
            count *= values
        return count

    def _override(self, **fields: Any) -> JobRequest:
        return JobRequest.model_validate(self.job.model_dump(exclude_unset=True) | fields)

    def _check_job(self) -> Iterator[Fault]:
        try:
            self.complete_job()
        except ValidationError as error:
            yield Fault(("job",), _first_message(error))

    def _check_count(self) -> Iterator[Fault]:
        count = self.count_combinations()
        if count is not None and count < self.trials:
            yield Fault(
                ("trials",),
                f"The space has {count} combinations, and none is tried twice: set trials to "
                f"{count} or less, or widen the space",
            )

    def _check_pairs(self) -> Iterator[Fault]:
        """Find values that do not go together; contradictions of a spec are between two fields.

        Whatever else is in the space has its first value, so that every combination tried here is
        one that a trial might have.
        """
        first = {name: dimension.list_ends()[0] for name, dimension in self.space.items()}
        names = list(self.space)
        groups: list[tuple[str, ...]] = [*combinations(names, 2)] or [(names[0],)]
        for group in groups:
            for values in product(*(self.space[name].list_ends() for name in group)):
                params = first | dict(zip(group, values, strict=True))
                try:
                    self.make_trial(params).resolve()
                except ValidationError as error:
                    told = ", ".join(f"{name} {value}" for name, value in params.items())
                    yield Fault(("space",), f"{told}: {_first_message(error)}")
                    return


def get_kind(name: str) -> type | None:
    """Return int or float where the values of a spec field are numbers, else None."""
    annotation = TrainingSpec.model_fields[name].annotation
    kinds = set(get_args(annotation) or [annotation]) - {NoneType}
    (kind,) = kinds if len(kinds) == 1 else (None,)
    return kind if kind in {int, float} else None


def _check_dimension(name: str, dimension: Dimension) -> Iterator[Fault]:
    path = ("space", name)
    known = [field for field in TrainingSpec.model_fields if field not in _COMMON_FIELDS]
    if name in _COMMON_FIELDS:
        yield Fault(path, f"All trials have the same {name}, to be comparable: set it in job")
    elif name not in known:
        yield Fault(path, f"There is no such field. Known fields: {', '.join(known)}")
    elif dimension.choices is not None:
        yield from _check_choices(path, dimension)
    elif dimension.low is None or dimension.high is None:
        yield Fault(path, "Send choices, or low and high")
    elif get_kind(name) is None:
        yield Fault(path, "Its values are no numbers: send choices")
    else:
        yield from _check_range(path, dimension, dimension.low, dimension.high)


def _check_choices(path: tuple[str, ...], dimension: Dimension) -> Iterator[Fault]:
    choices = dimension.choices or []
    if dimension.model_fields_set != {"choices"}:
        yield Fault(path, "Send choices alone, or low and high")
    if len({(type(value), value) for value in choices}) < len(choices):
        yield Fault((*path, "choices"), "A choice comes twice: send each once")
    for index, value in enumerate(choices):
        yield from _check_value((*path, "choices", str(index)), value)


def _check_range(
    path: tuple[str, ...], dimension: Dimension, low: Number, high: Number
) -> Iterator[Fault]:
    if low > high:
        yield Fault((*path, "high"), f"It is below low: set it to {low} or more")
    if dimension.log and low <= 0:
        yield Fault((*path, "low"), "A range with log needs a low above 0")
    if dimension.log and dimension.step is not None:
        yield Fault((*path, "step"), "A range with log has no step: leave out one of them")
    yield from _check_value((*path, "low"), low)
    yield from _check_value((*path, "high"), high)
    step = dimension.step
    if step is None:
        return
    if get_kind(path[1]) is int and int(step) != step:
        yield Fault((*path, "step"), "Its values are whole numbers: send a whole step")
    steps = _count_steps(low, high, step)
    if steps != int(steps):
        right = Decimal(str(low)) + math.floor(steps) * Decimal(str(step))
        yield Fault((*path, "high"), f"It is no whole number of steps above low: set it to {right}")


def _check_value(path: tuple[str, ...], value: Scalar) -> Iterator[Fault]:
    """Find what POST /jobs would say of this value."""
    try:
        JobRequest.model_validate({path[1]: value})
    except ValidationError as error:
        yield Fault(path, _first_message(error))


def _count_steps(low: Number, high: Number, step: Number) -> Decimal:
    """Return how many steps the range has, without the rounding of binary fractions."""
    return (Decimal(str(high)) - Decimal(str(low))) / Decimal(str(step))


def _first_message(error: ValidationError) -> str:
    return str(error.errors()[0]["msg"]).removeprefix("Value error, ")
