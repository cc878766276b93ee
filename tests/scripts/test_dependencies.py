"""What is installed is at least as new as the mends that Tenfold relies on."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
# The oldest version without a known hole that concerns us, and the hole.
FLOORS = {
    "starlette": ("1.6.0", "CVE-2025-62727, CVE-2026-48710, CVE-2026-54283"),
    "python-multipart": ("0.0.30", "CVE-2026-24486 and later"),
    "pillow": ("12.3.0", "CVE-2026-59199"),
    "torch": ("2.10", "CVE-2025-32434, CVE-2026-24747"),
}


def read_lock(path: Path) -> dict[str, Version]:
    pinned = re.findall(r"^([a-z0-9._-]+)==([^\s;\\]+)", path.read_text(), re.MULTILINE)
    return {name: Version(version) for name, version in pinned}


@pytest.mark.parametrize("name", FLOORS)
def test_no_version_below_the_floor_can_be_installed(name: str) -> None:
    floor, reason = FLOORS[name]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {item.name: item for item in map(Requirement, project["dependencies"])}
    lowest = [
        Version(part.version) for part in wanted[name].specifier if part.operator in {">=", "=="}
    ]
    assert lowest, name
    assert max(lowest) >= Version(floor), reason
    for lock in ("requirements.lock", "docker/requirements.lock"):
        assert read_lock(ROOT / lock)[name] >= Version(floor), (lock, reason)


@pytest.mark.parametrize("lock", ["requirements.lock", "docker/requirements.lock"])
def test_everything_that_is_installed_is_pinned_with_its_hash(lock: str) -> None:
    lines = (ROOT / lock).read_text().split("\n")
    requirements = [
        number
        for number, line in enumerate(lines)
        if line and not line.startswith((" ", "#", "--"))
    ]
    assert len(requirements) > 30
    for number in requirements:
        assert "==" in lines[number], lines[number]
        assert "--hash=sha256:" in lines[number + 1], lines[number]
