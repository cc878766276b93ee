"""Real processes, for tests that break them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import start_stack
from tests.reliability.sites import Actor, Site

__all__ = ["start_stack"]


@pytest.fixture(scope="session")
def packed_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the data set is packed by the first worker, and found by all others."""
    return tmp_path_factory.mktemp("packed")


@pytest.fixture(scope="session")
def actor(packed_folder: Path) -> Iterator[Actor]:
    process = Actor(packed_folder)
    yield process
    process.close()


@pytest.fixture
def make_site(tmp_path: Path, actor: Actor, packed_folder: Path) -> Iterator[Callable[..., Site]]:
    sites: list[Site] = []

    def make(artifacts: str = "database", **settings: float) -> Site:
        folder = tmp_path / f"site-{len(sites)}"
        folder.mkdir()
        (folder / "packed").symlink_to(packed_folder)
        sites.append(Site(folder, artifacts, actor, **settings))
        return sites[-1]

    yield make
    for site in sites:
        site.database.dispose()
