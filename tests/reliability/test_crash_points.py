"""A process is killed before, or refused, each of its system calls that change a disk, in turn."""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from store import migrations
from store.artifacts import FolderArtifacts, open_store
from store.database import Database
from store.errors import TenfoldError
from tests.reliability import actor
from tests.reliability.effort import IS_CHAOS
from tests.soundness import assert_sound

ROOT = Path(__file__).parents[2]
# Calls that change what is on a disk. SQLite and Python use no others of their kind here.
CHANGES = (
    "pwrite64", "write", "fsync", "fdatasync", "ftruncate", "rename", "unlink", "unlinkat",
    "mkdir", "rmdir",
)  # fmt: skip
SCENARIOS = ["submit", "save_checkpoint", "publish", "delete"]
CAN_BE_FULL = ("pwrite64", "write", "fsync", "fdatasync", "mkdir", "rename")

pytestmark = pytest.mark.timeout(3600 if IS_CHAOS else 600)


def find_obstacle() -> str | None:
    """Return why no fault can be injected here, None where it can."""
    if shutil.which("strace") is None:
        return "strace is not installed (Debian: apt-get install strace)"
    command = ["strace", "-qq", "-e", "trace=none", "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"strace cannot trace here: {done.stderr.strip()}" if done.returncode else None


obstacle = find_obstacle()
needs_strace = pytest.mark.skipif(obstacle is not None, reason=str(obstacle))


@dataclass(frozen=True)
class Place:
    """A data folder, and where its artifacts are."""

    folder: Path
    keeps_files: bool

    @property
    def artifacts_url(self) -> str:
        return f"file://{self.folder / 'artifacts'}" if self.keeps_files else "database:"

    def check(self) -> None:
        """All is whole after a fault; what a crash left behind can be told and removed."""
        database = Database(f"sqlite:///{self.folder / 'tenfold.db'}")
        artifacts = open_store(self.artifacts_url)
        if migrations.read_revision(database) is None:
            database.dispose()
            return
        assert_sound(database, artifacts)
        with database.writing() as session:
            artifacts.remove_orphans(session)
            assert artifacts.find_orphans(session) == []
        database.dispose()
        if isinstance(artifacts, FolderArtifacts) and artifacts.folder.exists():
            assert not list(artifacts.folder.glob("*.partial"))


class Actor:
    """The process of `actor.py`, and strace at its children."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.reliability.actor"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def act(self, scenario: str, place: Place, *, trace: str, fault: str | None = None) -> int:
        """Run the scenario under strace with the fault; return its exit code, -9 when killed."""
        self._say(f"{scenario} {place.folder} {place.artifacts_url}")
        pid = self._hear()
        options = ["-e", f"trace={trace}", *(["-e", f"inject={fault}"] if fault else [])]
        log = place.folder / "strace.log"
        command = ["strace", "-o", str(log), *options, "-p", str(pid)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
            assert strace.stderr is not None
            attached = strace.stderr.readline()
            assert f"{pid} attached" in attached, attached
            self._say("go")
            return self._hear()

    def close(self) -> None:
        self.process.communicate(timeout=300)

    def _say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def _hear(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def actors() -> Iterator[Actor]:
    process = Actor()
    yield process
    process.close()


@pytest.fixture
def fast_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: the calls count here, not what they cost."""
    memory = Path("/dev/shm")  # noqa: S108 -- a name of its own is made in it
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="tenfold-test-", dir=memory) as folder:
        yield Path(folder)


@pytest.fixture(params=["database", "folder"])
def prepared(request: pytest.FixtureRequest, fast_folder: Path) -> Place:
    place = Place(fast_folder / "prepared", keeps_files=request.param == "folder")
    place.folder.mkdir()
    actor.prepare(place.folder, place.artifacts_url)
    return place


def copy(prepared: Place, name: str) -> Place:
    place = Place(prepared.folder.with_name(name), prepared.keeps_files)
    shutil.copytree(prepared.folder, place.folder)
    return place


def count_calls(
    actors: Actor, scenario: str, prepared: Place, calls: tuple[str, ...]
) -> Counter[str]:
    """Run the scenario without a fault, and return how often it makes each call."""
    place = copy(prepared, "counted")
    assert actors.act(scenario, place, trace=",".join(calls)) == actor.DONE
    place.check()
    lines = (place.folder / "strace.log").read_text().splitlines()
    return Counter(line.split("(", 1)[0] for line in lines if "(" in line)


def list_points(counts: Counter[str]) -> list[tuple[str, int]]:
    """Every call; of the many pages that are written every fourth, but in `make chaos`."""
    return [
        (call, number)
        for call, count in counts.items()
        for number in range(1, count + 1, 4 if call == "pwrite64" and not IS_CHAOS else 1)
    ]


@needs_strace
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_process_that_is_killed_at_any_change_of_the_disk_leaves_all_whole(
    actors: Actor, prepared: Place, scenario: str
) -> None:
    points = list_points(count_calls(actors, scenario, prepared, CHANGES))
    assert len(points) > 5
    for call, number in points:
        place = copy(prepared, f"{call}-{number}")
        fault = f"{call}:signal=SIGKILL:when={number}"
        assert actors.act(scenario, place, trace=call, fault=fault) == -signal.SIGKILL
        place.check()
        redo(scenario, place)
        shutil.rmtree(place.folder)


@needs_strace
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_full_disk_at_any_change_is_a_sentence_and_leaves_all_whole(
    actors: Actor, prepared: Place, scenario: str
) -> None:
    points = list_points(count_calls(actors, scenario, prepared, CAN_BE_FULL))
    refusals = 0
    for call, number in points:
        place = copy(prepared, f"{call}-{number}")
        fault = f"{call}:error=ENOSPC:when={number}"
        code = actors.act(scenario, place, trace=call, fault=fault)
        refusal = place.folder / "refusal.txt"
        assert code in {actor.DONE, actor.REFUSED}, f"{fault}\n{refusal.read_text()}"
        if code == actor.REFUSED:
            refusals += 1
            assert re.search("disk|space", refusal.read_text(), re.IGNORECASE)
        place.check()
        if code == actor.REFUSED:
            redo(scenario, place)
        shutil.rmtree(place.folder)
    assert refusals > 0


@needs_strace
def test_a_migration_that_is_killed_at_any_change_of_the_disk_is_done_again(
    actors: Actor, fast_folder: Path
) -> None:
    empty = Place(fast_folder / "empty", keeps_files=False)
    empty.folder.mkdir()
    points = list_points(count_calls(actors, "migrate", empty, CHANGES))
    for call, number in points:
        place = copy(empty, f"{call}-{number}")
        fault = f"{call}:signal=SIGKILL:when={number}"
        assert actors.act("migrate", place, trace=call, fault=fault) == -signal.SIGKILL
        place.check()
        redo("migrate", place)
        shutil.rmtree(place.folder)


@needs_strace
def test_a_migration_on_a_full_disk_is_a_sentence(actors: Actor, fast_folder: Path) -> None:
    empty = Place(fast_folder / "empty", keeps_files=False)
    empty.folder.mkdir()
    for call, number in list_points(count_calls(actors, "migrate", empty, CAN_BE_FULL)):
        place = copy(empty, f"{call}-{number}")
        fault = f"{call}:error=ENOSPC:when={number}"
        code = actors.act("migrate", place, trace=call, fault=fault)
        refusal = place.folder / "refusal.txt"
        assert code in {actor.DONE, actor.REFUSED}, f"{fault}\n{refusal.read_text()}"
        place.check()
        redo("migrate", place)
        shutil.rmtree(place.folder)


@needs_strace
@pytest.mark.parametrize("scenario", ["submit", "save_checkpoint"])
def test_a_folder_that_became_read_only_is_a_sentence_and_no_harm(
    actors: Actor, prepared: Place, scenario: str
) -> None:
    prepared.folder.parent.chmod(0o755)
    paths = [prepared.folder, *prepared.folder.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    # The one file that the child may write tells what it was refused.
    refusal = prepared.folder / "refusal.txt"
    refusal.touch()
    refusal.chmod(0o666)
    code = actors.act(f"unprivileged_{scenario}", prepared, trace="none")
    assert code == actor.REFUSED, refusal.read_text()
    assert re.search("write access|written to|read-only", refusal.read_text())
    for path in paths:
        path.chmod(0o755 if path.is_dir() else 0o644)
    prepared.check()
    redo(scenario, prepared)


@pytest.mark.parametrize("scenario", ["submit", "save_checkpoint"])
def test_too_many_open_files_are_a_sentence_and_no_harm(prepared: Place, scenario: str) -> None:
    _, hard = limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    outcomes = set()
    # With each file more it comes a little farther.
    for more in range(12):
        place = copy(prepared, f"more-{more}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (find_free_number() + more, hard))
        try:
            message = attempt(scenario, place)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        outcomes.add(message is None)
        assert message is None or "files" in message, message
        place.check()
        if message is not None:
            redo(scenario, place)
    assert outcomes == {True, False}


def find_free_number() -> int:
    """Return the number that the next open file would get."""
    with Path("/dev/null").open() as file:
        return file.fileno()


def attempt(scenario: str, place: Place) -> str | None:
    """Run the scenario in this process; return what it was refused with, if it was."""
    database = Database(f"sqlite:///{place.folder / 'tenfold.db'}")
    try:
        actor.SCENARIOS[scenario](database, open_store(place.artifacts_url))
    except TenfoldError as error:
        return error.message
    finally:
        database.dispose()
    return None


def redo(scenario: str, place: Place) -> None:
    """What was killed half-way can be done again, unless it had been done."""
    code = actor.act(scenario, place.folder, place.artifacts_url)
    refusal = place.folder / "refusal.txt"
    was_done = {"publish": "no longer owns", "delete": "There is no job 1"}
    if code != actor.DONE:
        assert was_done.get(scenario, "?!") in refusal.read_text()
    place.check()
