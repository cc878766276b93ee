"""kill -9 of workers, over and over: nothing is lost, nothing is done twice, nothing differs."""

import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from store import events
from store.specs import RECIPES
from store.tables import ArtifactChunk, JobStatus
from tests.reliability.effort import IS_CHAOS
from tests.reliability.sites import Site

# Of kills; TENFOLD_KILLS asks for another number.
ROUNDS = int(os.environ.get("TENFOLD_KILLS", "1000" if IS_CHAOS else "5"))
SECONDS_PER_ROUND = 20  # on a machine that has much else to do

pytestmark = pytest.mark.timeout(600 + ROUNDS * SECONDS_PER_ROUND)


# A new data folder after so many kills, so that looking at all of it stays quick.
ROUNDS_PER_SITE = 50
JOBS_AT_ONCE = 2
# One worker in so many is the command that users start; the others are forks of one that is ready.
ROUNDS_PER_COMMAND = 20
# Where half of the kills are aimed at, and for how many seconds each lasts.
AIMS = {
    "claim": 0.005,
    "resume": 0.02,
    "train": 0.5,
    "metrics": 0.005,
    "checkpoint": 0.02,
    "report": 2.0,
    "publish": 0.04,
}
AIM_SECONDS = 20.0


def compare(killed: Site, job_id: int, expected: dict[str, Any]) -> None:
    assert killed.count_events(job_id, "succeeded") == 1
    found = killed.collect(job_id)
    for name, value in expected.items():
        assert found[name] == value, f"{name} of job {job_id} differs"


class PeacefulRuns:
    """What the small jobs compute when nobody kills their workers: once for each seed."""

    def __init__(self) -> None:
        self._known: dict[int, dict[str, Any]] = {}

    def get(self, seed: int, make_site: Callable[..., Site]) -> dict[str, Any]:
        if seed not in self._known:
            site = make_site()
            # The seeds that follow are asked for next.
            seeds = range(seed, seed + JOBS_AT_ONCE)
            job_ids = [site.submit(seed=number) for number in seeds]
            site.finish(*job_ids)
            for number, job_id in zip(seeds, job_ids, strict=True):
                self._known[number] = site.collect(job_id)
        return self._known[seed]


@pytest.fixture(scope="module")
def peaceful_runs() -> PeacefulRuns:
    return PeacefulRuns()


@pytest.mark.parametrize("artifacts", ["database", "folder"])
def test_workers_killed_at_random_lose_nothing_and_do_nothing_twice(
    make_site: Callable[..., Site], artifacts: str, peaceful_runs: PeacefulRuns
) -> None:
    """Half of the kills with each artifact store."""
    seed = int(os.environ.get("TENFOLD_SEED", str(time.time_ns() % 1_000_000)))
    rounds = (ROUNDS + (artifacts == "database")) // 2
    print(f"{rounds} kills, TENFOLD_SEED={seed}", flush=True)  # noqa: T201 -- to repeat a failure
    draw = random.Random(f"{artifacts} {seed}")  # noqa: S311 -- no secret
    met: Counter[str] = Counter()
    jobs_done = 0
    began = time.monotonic()
    for first in range(0, rounds, ROUNDS_PER_SITE):
        killed = make_site(artifacts)
        job_ids: list[int] = []
        for number in range(first, min(first + ROUNDS_PER_SITE, rounds)):
            if sum(not killed.read(job_id).status.is_ended for job_id in job_ids) < JOBS_AT_ONCE:
                job_ids.append(killed.submit(seed=len(job_ids)))
            is_command = number % ROUNDS_PER_COMMAND == ROUNDS_PER_COMMAND - 1
            pid = strike(killed, draw, is_command=is_command)
            met["command" if is_command else killed.read_phase(pid)] += 1
            # Of the others the lease has to run out first.
            if draw.random() < 0.8:
                killed.requeue_at_once(pid)
            killed.check()
            killed.retry_poisoned(*job_ids)
        killed.finish(*job_ids)
        killed.check()
        if rounds >= ROUNDS_PER_SITE:  # a few may all strike where nothing is to be begun again
            assert sum(killed.read(job_id).attempt for job_id in job_ids) > len(job_ids)
        for job_seed, job_id in enumerate(job_ids):
            compare(killed, job_id, peaceful_runs.get(job_seed, make_site))
        jobs_done += len(job_ids)
        shutil.rmtree(killed.settings.data)
        seconds = time.monotonic() - began
        print(  # noqa: T201 -- for docs
            f"{sum(met.values())} kills in {seconds:.0f} s, {jobs_done} jobs, killed at "
            f"{dict(met)}",
            flush=True,
        )
    if ROUNDS >= 200:
        assert set(met) >= {*AIMS, "start", "command"}


def strike(site: Site, draw: random.Random, *, is_command: bool) -> int:
    """Start a worker and kill it, at any moment of its work; return its process id."""
    chance = draw.random()
    with (site.command if is_command else site.worker)(signal.SIGKILL) as pid:
        if is_command or 0.1 < chance < 0.5:
            site.wait(partial(site.is_working, pid))
        if is_command or chance < 0.5:
            site.watch(seconds=draw.uniform(0.0, 0.7))
        else:
            aim_at(site, pid, draw)
    return pid


def aim_at(site: Site, pid: int, draw: random.Random) -> None:
    """Wait for the worker to come to a phase of its work, and then for a part of it."""
    # The rare end as often as all that comes before it.
    phase = draw.choice([*AIMS, *["publish"] * len(AIMS)])
    deadline = time.monotonic() + AIM_SECONDS
    while site.read_phase(pid) != phase and time.monotonic() < deadline:
        time.sleep(0.0005)
    time.sleep(draw.uniform(0.0, AIMS[phase]))


# Ten steps an epoch, whatever the recipe: what is proved is its machinery, not its accuracy.
TINY: dict[str, Any] = {"dataset": "tiny", "epochs": 2, "batch_size": 8, "report_every_steps": 3}
# The moving average is in `quick` alone by default.
OVERRIDES: dict[str, dict[str, Any]] = {
    "tutorial": {"ema_decay": 0.9, "augmentation": "flip_crop"},
    # Formats that are measured could differ between two runs on a busy machine.
    "quick": {"precision": "bf16", "memory_format": "channels_last"},
    "speed94": {"ema_decay": 0.9},
    "best": {},
}


def draw_tiny_dataset(folder: Path) -> None:
    """Write 80 images to learn from and 20 to be judged by, of two classes."""
    draw = random.Random(1)  # noqa: S311 -- no secret
    for split, count in [("train", 40), ("test", 10)]:
        for label in ("dark", "light"):
            place = folder / "datasets" / "tiny" / split / label
            place.mkdir(parents=True)
            low, high = (0, 160) if label == "dark" else (95, 255)
            for number in range(count):
                pixels = bytes(draw.randint(low, high) for _ in range(32 * 32 * 3))
                Image.frombytes("RGB", (32, 32), pixels).save(place / f"{number}.png")


@pytest.mark.parametrize("artifacts", ["database", "folder"] if IS_CHAOS else ["database"])
@pytest.mark.parametrize("recipe", [name for name in RECIPES if IS_CHAOS or name != "best"])
def test_a_run_killed_twice_in_one_epoch_equals_one_that_nobody_killed(
    make_site: Callable[..., Site], recipe: str, artifacts: str
) -> None:
    """Each recipe is killed once in its first epoch and twice in its second."""
    fields = TINY | {"recipe": recipe, **OVERRIDES[recipe]}
    # At each step of the small networks; those of the large ones are large, too.
    is_small = recipe in {"tutorial", "quick"}
    killed = make_site(artifacts, checkpoint_interval_seconds=0.001 if is_small else 0.5)
    peaceful = make_site(artifacts, checkpoint_interval_seconds=1000)
    for site in (killed, peaceful):
        draw_tiny_dataset(site.settings.data)
    job_id = killed.submit(**fields)
    for step in (4, 13, 17):
        killed.run_until(step)
        killed.check()
    killed.finish(job_id)
    killed.check()
    assert killed.count_events(job_id, "resumed_from_checkpoint") >= (3 if is_small else 2)
    assert killed.read(job_id).attempt >= 4

    peaceful.submit(**fields)
    peaceful.finish(job_id)
    compare(killed, job_id, peaceful.collect(job_id))


@pytest.mark.parametrize("artifacts", ["database", "folder"])
def test_a_damaged_checkpoint_is_told_and_the_one_before_it_is_taken(
    make_site: Callable[..., Site], artifacts: str
) -> None:
    killed, peaceful = make_site(artifacts), make_site(artifacts)
    fields = {"epochs": 2, "batch_size": 16}
    job_id = killed.submit(**fields)
    with killed.worker(signal.SIGKILL):
        killed.wait(lambda: len(killed.list_checkpoints(job_id)) >= 2)
    newest, before, *_ = killed.list_checkpoints(job_id)
    damage(killed, newest.artifact_id)
    killed.wait(lambda: killed.read(job_id).status is JobStatus.QUEUED)
    killed.finish(job_id)
    killed.check()
    with killed.database.reading() as session:
        told = {event.kind: event.data for event in events.list_page(session, job_id)}
    assert told["checkpoint_damaged"]["checkpoint"] == newest.id
    assert told["resumed_from_checkpoint"]["checkpoint"] == before.id

    peaceful.submit(**fields)
    peaceful.finish(job_id)
    compare(killed, job_id, peaceful.collect(job_id))


def damage(site: Site, artifact_id: str) -> None:
    """Flip one bit of the stored tensors."""
    if site.settings.artifacts_folder is None:
        with site.database.writing() as session:
            chunk = session.get_one(ArtifactChunk, (artifact_id, "training.safetensors", 0))
            chunk.data = flip(chunk.data)
    else:
        path = site.settings.artifacts_folder / artifact_id / "training.safetensors"
        path.write_bytes(flip(path.read_bytes()))


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
