"""What goes into the image: the packages that run, pinned as everywhere else, and no tools."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def read_pins(lock: Path) -> dict[str, set[str]]:
    """Return every `name==version ; marker` line of a lock with the hashes below it."""
    pins: dict[str, set[str]] = {}
    for line in lock.read_text().splitlines():
        text = line.strip().removesuffix(" \\")
        if line[:1].isalnum():
            current = pins.setdefault(text, set())
        elif text.startswith("--hash="):
            current.add(text)
    return pins


def strip_marker(pins: dict[str, set[str]]) -> dict[str, set[str]]:
    return {pin.split(" ;")[0]: hashes for pin, hashes in pins.items()}


def test_the_image_has_the_versions_that_the_tests_ran_with() -> None:
    everything = strip_marker(read_pins(ROOT / "requirements.lock"))
    image = strip_marker(read_pins(ROOT / "docker" / "requirements.lock"))
    assert image.items() <= everything.items(), "run `make lock`"


def test_the_image_has_every_dependency_and_no_development_tool() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    image = {pin.split("==")[0] for pin in read_pins(ROOT / "docker" / "requirements.lock")}
    needed = {re.split(r"[\[>=;]", line)[0] for line in project["project"]["dependencies"]}
    tools = {re.split(r"[\[>=;]", line)[0] for line in project["dependency-groups"]["dev"]}
    assert needed <= image, "run `make lock`"
    # PyTorch needs setuptools, uvicorn reads YAML, matplotlib compares versions.
    assert tools & image == {"packaging", "pyyaml", "setuptools"}


def test_every_package_of_the_locks_has_a_hash() -> None:
    for lock in (ROOT / "requirements.lock", ROOT / "docker" / "requirements.lock"):
        assert all(read_pins(lock).values())


def test_the_build_context_holds_what_the_dockerfile_copies_and_no_data() -> None:
    """The list is of what is let in, so that a data folder or a `.env` never is."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*"
    let_in = {pattern[1:] for pattern in patterns if pattern.startswith("!")}
    assert let_in >= {"docker/entrypoint.sh", "docker/healthcheck.py", "docker/requirements.lock"}
    assert let_in >= {"alembic", "service", "store", "worker"}
    assert all((ROOT / path).exists() for path in let_in)
