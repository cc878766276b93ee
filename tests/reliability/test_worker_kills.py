"""kill -9 of workers, over and over: nothing is lost, nothing is done twice, nothing differs."""

import os
import random
import signal
import time
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


def compare(killed: Site, peaceful: Site, job_ids: list[int]) -> None:
    for job_id in job_ids:
        assert killed.count_events(job_id, "succeeded") == 1
        found, expected = killed.collect(job_id), peaceful.collect(job_id)
        for name, value in expected.items():
            assert found[name] == value, f"{name} of job {job_id} differs"


def test_workers_killed_at_random_lose_nothing_and_do_nothing_twice(
    make_site: Callable[..., Site],
) -> None:
    killed, peaceful = make_site(), make_site()
    seed = int(os.environ.get("TENFOLD_SEED", str(time.time_ns() % 1_000_000)))
    print(f"{ROUNDS} kills, TENFOLD_SEED={seed}")  # noqa: T201 -- to repeat a failure
    draw = random.Random(seed)  # noqa: S311 -- no secret
    job_ids: list[int] = []
    for _ in range(ROUNDS):
        if len(job_ids) - sum(killed.read(job_id).status.is_ended for job_id in job_ids) < 3:
            job_ids.append(killed.submit(seed=len(job_ids)))
        with killed.worker(signal.SIGKILL) as pid:
            # Some die while they start, the others at any moment of their work.
            if draw.random() < 0.8:
                killed.wait(partial(killed.is_working, pid))
            killed.watch(seconds=draw.uniform(0.0, 0.7))
        # Of the others the lease has to run out first.
        if draw.random() < 0.7:
            killed.requeue_at_once(pid)
        killed.check()
        killed.retry_poisoned(*job_ids)
    killed.finish(*job_ids)
    killed.check()

    for number in range(len(job_ids)):
        peaceful.submit(seed=number)
    peaceful.finish(*job_ids)
    compare(killed, peaceful, job_ids)
    assert sum(killed.read(job_id).attempt for job_id in job_ids) > len(job_ids)


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
    compare(killed, peaceful, [job_id])


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
    compare(killed, peaceful, [job_id])


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
