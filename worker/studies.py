"""What Optuna is asked: the values of the next trial, and whether a trial is worth going on with.

A study lives as long as one question. It is made of the trials' rows, so nothing that Optuna
remembers can be lost, or differ from what the jobs say.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from store.sweep_requests import Dimension, Scalar, SweepRequest, get_kind
from store.sweeps import RankedTrial
from store.tables import JobStatus

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

# Validation accuracies by epoch, counted from 1.
Curve = Mapping[int, float]

# Draws that repeat an earlier trial before one of the combinations that are left is taken.
_REPEATS = 20
_UNFINISHED = {JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.PAUSED}


def propose(
    request: SweepRequest,
    number: int,
    trials: Sequence[RankedTrial],
    curves: Mapping[int, Curve],
) -> dict[str, Any]:
    """Return the values of trial `number`: not those of an earlier one, which would come out equal.

    `curves` are by job id. The same trials always get the same answer.
    """
    space = {name: _describe_dimension(name, one) for name, one in request.space.items()}
    history = [
        _describe_trial(trial, curves.get(trial.job_id, {}), space)
        for trial in sorted(trials, key=lambda trial: trial.number)
        if trial.status in _UNFINISHED | {JobStatus.SUCCEEDED} or trial.pruned_after_epoch
    ]
    known = [trial.params for trial in trials]
    for repeat in range(_REPEATS):
        study = _create_study(_make_sampler(request, number, repeat))
        study.add_trials(history)
        params = study.ask(space).params
        if params not in known:
            return params
    return _choose_rest(request, number, known)


def is_hopeless(request: SweepRequest, own: Curve, finished: Sequence[Curve]) -> bool:
    """Tell whether the pruner would stop a trial after the last epoch of its curve.

    Of the trials that have succeeded at least the accuracies after that epoch are needed.
    """
    if request.pruner == "none":
        return False
    from optuna.pruners import MedianPruner  # noqa: PLC0415 -- see _create_study
    from optuna.trial import TrialState, create_trial  # noqa: PLC0415

    pruner = MedianPruner(
        n_startup_trials=request.pruner_startup_trials,
        # The first epoch that may be the last, for those counted from 1.
        n_warmup_steps=request.pruner_warmup_epochs + 1,
    )
    study = _create_study(None)
    study.add_trials(
        [
            create_trial(state=TrialState.COMPLETE, value=0, intermediate_values=dict(curve))
            for curve in finished
        ]
    )
    running = create_trial(state=TrialState.RUNNING, intermediate_values=dict(own))
    return bool(pruner.prune(study, running))


def _create_study(sampler: "BaseSampler | None") -> "Study":
    # It takes a second to import, which a worker without sweeps has no need to wait.
    import optuna  # noqa: PLC0415

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction="maximize", sampler=sampler)


def _make_sampler(request: SweepRequest, number: int, repeat: int) -> "BaseSampler":
    from optuna.samplers import RandomSampler, TPESampler  # noqa: PLC0415

    seed = int(np.random.SeedSequence([request.sampler_seed, number, repeat]).generate_state(1)[0])
    if request.sampler == "random":
        return RandomSampler(seed=seed)
    # Trials that still run count as bad ones, so that those at once do not all try one place.
    return TPESampler(seed=seed, constant_liar=True)


def _describe_dimension(name: str, dimension: Dimension) -> "BaseDistribution":
    from optuna.distributions import (  # noqa: PLC0415
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if dimension.choices is not None:
        return CategoricalDistribution(dimension.choices)
    low, high = dimension.low or 0, dimension.high or 0
    if get_kind(name) is int:
        return IntDistribution(
            int(low), int(high), log=dimension.log, step=int(dimension.step or 1)
        )
    return FloatDistribution(float(low), float(high), log=dimension.log, step=dimension.step)


def _describe_trial(
    trial: RankedTrial, curve: Curve, space: Mapping[str, "BaseDistribution"]
) -> "FrozenTrial":
    from optuna.trial import TrialState, create_trial  # noqa: PLC0415

    state = TrialState.RUNNING
    if trial.status is JobStatus.SUCCEEDED:
        state = TrialState.COMPLETE
    elif trial.pruned_after_epoch:
        state = TrialState.PRUNED
    return create_trial(
        state=state,
        value=trial.validation_accuracy if state is TrialState.COMPLETE else None,
        params=trial.params,
        distributions=dict(space),
        intermediate_values=dict(curve),
    )


def _choose_rest(
    request: SweepRequest, number: int, known: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Return one of the combinations that no trial has had.

    There are few combinations where so many draws have found nothing new.
    """
    names = list(request.space)
    values = [_list_values(name, request.space[name]) for name in names]
    rest = [
        params
        for combination in product(*values)
        if (params := dict(zip(names, combination, strict=True))) not in known
    ]
    draw = np.random.default_rng([request.sampler_seed, number])
    return rest[int(draw.integers(len(rest)))]


def _list_values(name: str, dimension: Dimension) -> list[Scalar]:
    if dimension.choices is not None:
        return dimension.choices
    kind = get_kind(name) or float
    low, step = Decimal(str(dimension.low)), Decimal(str(dimension.step or 1))
    count = dimension.count_values(is_whole=kind is int) or 1
    return [kind(low + number * step) for number in range(count)]
