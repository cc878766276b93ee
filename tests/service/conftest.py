"""The real server on a data folder of its own, and somebody who does a worker's writing."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from store.settings import Settings
from tests.service.serving import make_settings, serve
from tests.service.stand_in_worker import StandInWorker


@pytest.fixture
def artifacts_url() -> str:
    """Where the bytes are; test modules that move bytes override it with both stores."""
    return "database:"


@pytest.fixture
def settings(tmp_path: Path, artifacts_url: str) -> Settings:
    return make_settings(tmp_path, artifacts_url=artifacts_url)


@pytest.fixture
def client(settings: Settings) -> Iterator[httpx.Client]:
    with serve(settings) as client:
        yield client


@pytest.fixture
def worker(settings: Settings) -> Iterator[StandInWorker]:
    worker = StandInWorker(settings)
    yield worker
    worker.close()
