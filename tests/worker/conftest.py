"""Small packed data sets, and image folders made of real files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from store import packed
from store.packed import Examples, PackedDataset
from store.settings import Settings
from worker import shapes


class Events:
    """Records what would become events of a job."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.messages: list[str] = []
        self.data: list[dict[str, Any]] = []

    def __call__(self, kind: str, message: str, data: dict[str, Any]) -> None:
        self.kinds.append(kind)
        self.messages.append(message)
        self.data.append(data)


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data")


@pytest.fixture
def cpu() -> torch.device:
    return torch.device("cpu")


@pytest.fixture(scope="session")
def few_shapes(tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    """200 drawn images to learn from and 60 to be judged by."""
    return packed.pack(
        tmp_path_factory.mktemp("packed"),
        name="shapes",
        description="a few shapes",
        source="drawn",
        fingerprint="few",
        classes=shapes.CLASSES,
        splits={"train": shapes.draw("train", 200), "test": shapes.draw("test", 60)},
    )


@pytest.fixture(scope="session")
def bright_or_dark(tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    """Two classes that any network tells apart within a few steps, unevenly split in batches."""
    random = np.random.default_rng(0)

    def draw(count: int) -> Examples:
        labels = np.arange(count, dtype=np.int64) % 2
        base = np.where(labels == 0, 40, 200)[:, None, None, None]
        noise = random.integers(-30, 30, (count, 16, 20, 3))
        return Examples((base + noise).astype(np.uint8), labels)

    return packed.pack(
        tmp_path_factory.mktemp("packed"),
        name="brightness",
        description="bright or dark",
        source="a test",
        fingerprint="two",
        classes=("dark", "bright"),
        splits={"train": draw(90), "test": draw(30)},
    )


def write_picture(path: Path, size: tuple[int, int] = (32, 32), color: str = "red") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)
