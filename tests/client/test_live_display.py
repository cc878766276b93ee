"""What a person sees in a terminal while a job trains, and what Ctrl-C does."""

import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console

from client import ConflictError, Job, JobStatus, JobUpdate, Tenfold
from client.progress import ProgressDisplay
from tests.client.terminal import CTRL_C, Terminal

pytestmark = pytest.mark.timeout(300)
ENDLESS = ["--dataset", "shapes", "--epochs", "1000", "--report-every-steps", "20"]


@pytest.fixture
def open_terminal(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    terminals: list[Terminal] = []

    def open_one(*arguments: str, **variables: str) -> Terminal:
        terminals.append(Terminal(tmp_path, environment | variables, *arguments))
        return terminals[-1]

    yield open_one
    for terminal in terminals:
        with terminal:
            """Ends it."""


@pytest.fixture
def newest_job(client: Tenfold) -> Iterator[Callable[[], Job]]:
    """Return a function that returns the newest job; what still runs is cancelled afterwards."""
    yield lambda: next(client.list_jobs())
    for job in client.list_jobs():
        if not job.status.is_ended:
            # It may end just now.
            with suppress(ConflictError):
                job.cancel()


def test_a_job_that_trains_is_shown_with_loss_pace_and_time_left(
    open_terminal: Callable[..., Terminal], newest_job: Callable[[], Job]
) -> None:
    terminal = open_terminal("train", *ENDLESS)
    # The accuracy is there as soon as an epoch has ended.
    terminal.wait_for(
        r"epoch \d+ of 1000 .*%.*"
        r"loss \d\.\d{3}  (accuracy \d+\.\d%  )?[\d,]+ images/s  [\d:]+ left"
    )
    terminal.wait_for(r"loss [▁▂▃▄▅▆▇█]{2,} \d\.\d{3}")
    terminal.wait_for(r"epoch 1 of 1000: accuracy \d+\.\d% on the test images")
    newest_job().cancel()
    assert terminal.wait() == 1
    # The bar is redrawn in place, and gone at the end.
    assert "\x1b[1A" in terminal.raw
    assert "images/s" not in terminal.text.splitlines()[-1]


def test_a_job_that_succeeds_ends_with_its_model_and_what_to_do_next(
    open_terminal: Callable[..., Terminal],
) -> None:
    arguments = ["--epochs", "1", "--batch-size", "500"]
    terminal = open_terminal("train", "--dataset", "shapes", *arguments, "--model", "shown")
    assert terminal.wait() == 0
    assert "shown@1" in terminal.text
    assert "tenfold report" in terminal.text


def test_a_trained_job_is_shown_as_publishing_until_it_has_ended(trained_job: Job) -> None:
    progress = trained_job.progress
    assert progress is not None
    at_the_end = progress.model_copy(update={"step": progress.steps})
    changes = {"status": JobStatus.RUNNING, "progress": at_the_end}
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=110)
    with ProgressDisplay(console) as display:
        display(JobUpdate(trained_job.model_copy(update=changes)))
    assert "publishing the model" in screen.getvalue()


def test_ctrl_c_leaves_the_job_running_and_says_how_to_see_it_again(
    open_terminal: Callable[..., Terminal], newest_job: Callable[[], Job]
) -> None:
    terminal = open_terminal("train", *ENDLESS)
    terminal.wait_for("images/s")
    terminal.press(CTRL_C)
    assert terminal.wait() == 130
    job = newest_job()
    assert job.status is JobStatus.RUNNING
    assert f"tenfold watch {job.id}" in terminal.text
    assert "Traceback" not in terminal.text

    watching = open_terminal("watch", str(job.id))
    watching.wait_for("images/s")
    job.cancel()
    assert watching.wait() == 1
    assert f"Job {job.id} was cancelled" in watching.text


def test_ctrl_c_cancels_the_job_where_that_was_asked_for(
    open_terminal: Callable[..., Terminal], newest_job: Callable[[], Job]
) -> None:
    terminal = open_terminal("train", "--cancel-on-interrupt", *ENDLESS)
    terminal.wait_for("images/s")
    terminal.press(CTRL_C)
    assert terminal.wait() == 130
    assert newest_job().status in {JobStatus.CANCELLING, JobStatus.CANCELLED}


def test_the_matrix_is_a_picture_in_colours_unless_they_are_not_wanted(
    open_terminal: Callable[..., Terminal], trained_job: Job
) -> None:
    coloured = open_terminal("report", str(trained_job.id))
    assert coloured.wait() == 0
    assert "\x1b[38;" in coloured.raw
    plain = open_terminal("report", str(trained_job.id), NO_COLOR="1")
    assert plain.wait() == 0
    # Bold is no colour; 3x, 4x, 9x and 10x are.
    colours = [code for code in plain.raw.split("\x1b[")[1:] if code[:2] in {"38", "48", "31"}]
    assert colours == []
    assert "░" in plain.raw or "█" in plain.raw
