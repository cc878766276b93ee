"""Sweeps from Python and from the command line."""

import json

import pytest

from client import InvalidRequestError, Tenfold
from client.cli.sweeps import parse_dimension
from client.schemas import Sweep, SweepStatus
from tests.client.conftest import Run

pytestmark = pytest.mark.timeout(500)
COMMON = {"dataset": "shapes", "epochs": 1, "batch_size": 250}
SPACE = {"learning_rate": {"low": 0.001, "high": 0.1, "log": True}}


@pytest.mark.parametrize(
    ("text", "dimension"),
    [
        ("learning-rate=0.001..1:log", {"low": 0.001, "high": 1, "log": True}),
        ("learning_rate=1e-3..1", {"low": 0.001, "high": 1}),
        ("learning_rate=2..8:step=2", {"low": 2, "high": 8, "step": 2}),
        ("learning_rate=16,64", {"choices": [16, 64]}),
        ("learning_rate=sgd,adam", {"choices": ["sgd", "adam"]}),
    ],
)
def test_what_to_vary_is_read_as_it_is_meant(text: str, dimension: dict[str, object]) -> None:
    assert parse_dimension(text) == ("learning_rate", dimension)


@pytest.mark.parametrize("text", ["learning_rate", "=1,2", "epochs=", "epochs=1..2:wide"])
def test_what_cannot_be_read_is_a_usage_error(tenfold: Run, text: str) -> None:
    done = tenfold("sweeps", "start", "--vary", text)
    assert done.returncode == 2
    assert f"--vary {text}" in done.stderr


def test_a_sweep_is_waited_for_ranked_and_deleted(client: Tenfold) -> None:
    sweep = client.start_sweep(SPACE, 2, **COMMON)  # type: ignore[arg-type]
    looks: list[Sweep] = []
    sweep = client.wait_for_sweep(sweep.id, observe=looks.append, timeout_seconds=400)
    assert sweep.status is SweepStatus.SUCCEEDED
    assert looks[-1] == sweep
    assert [trial.validation_accuracy is not None for trial in sweep.ranking] == [True, True]
    assert sweep.best == sweep.ranking[0]
    assert sweep.best is not None
    assert sweep.best.model is not None
    trials = {job.id: job.trial for job in client.list_jobs(sweep_id=sweep.id)}
    assert set(trials) == {trial.job_id for trial in sweep.ranking}
    assert all(trial is not None and trial.sweep == sweep.id for trial in trials.values())
    assert next(client.list_sweeps()).id == sweep.id
    client.delete_sweep(sweep.id)
    assert sweep.id not in [other.id for other in client.list_sweeps()]


def test_a_space_that_cannot_be_is_refused_with_the_fields_name(client: Tenfold) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        client.start_sweep({"lr": {"low": 0, "high": 1}}, 2)
    assert [error.field for error in refused.value.errors] == ["space.lr"]


def test_the_command_line_tells_each_trial_and_ranks_them(tenfold: Run) -> None:
    common = [word for name, value in COMMON.items() for word in ("--set", f"{name}={value}")]
    done = tenfold(
        "sweeps", "start", "--vary", "learning_rate=0.001,0.01", "--trials", "2", *common
    )
    assert done.returncode == 0, done.stderr
    assert "Trial 0: succeeded" in done.stderr
    assert "2 of 2 trials submitted" in done.stdout
    sweeps = json.loads(tenfold("sweeps", "--json").stdout)
    assert sweeps[0]["status"] == "succeeded"
    shown = tenfold("sweeps", "show", str(sweeps[0]["id"]))
    assert "shapes-tutorial@" in shown.stdout
    listed = json.loads(tenfold("jobs", "--sweep", str(sweeps[0]["id"]), "--json").stdout)
    assert len(listed) == 2


def test_a_cancelled_sweep_ends_without_success(client: Tenfold, tenfold: Run) -> None:
    sweep = client.start_sweep(SPACE, 2, dataset="shapes", epochs=1000)
    assert "cancel" in tenfold("sweeps", "cancel", str(sweep.id)).stdout
    assert tenfold("sweeps", "watch", str(sweep.id)).returncode == 1
