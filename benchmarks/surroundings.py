"""What every table of a benchmark ends with: machine, versions, seed."""

import contextlib
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from store.cores import count_cores
from store.errors import TrainingError
from store.packed import PackedDataset
from store.settings import Settings
from worker import datasets
from worker.parallel import choose_device


def describe_surroundings() -> str:
    """Return one line about the machine and the versions."""
    device = _describe_processor()
    if torch.cuda.is_available():
        device = f"{torch.cuda.get_device_name()}, {device}"
    return (
        f"{device}; {torch.get_num_threads()} threads; Python {platform.python_version()}, "
        f"torch {torch.__version__}"
    )


@contextlib.contextmanager
def open_cifar10(folder: Path) -> Iterator[PackedDataset]:
    """The images in `folder` (train/<class>/, test/<class>/), packed into a temporary place."""
    with tempfile.TemporaryDirectory(prefix="tenfold-benchmark-") as data:
        (Path(data) / "datasets").mkdir()
        (Path(data) / "datasets" / "cifar10").symlink_to(folder.resolve())
        yield load_dataset(Path(data), "cifar10")


def load_dataset(data: Path, name: str) -> PackedDataset:
    """Return data set `name` of the data folder, packed; packing is not part of any benchmark."""
    return datasets.load(name, Settings(data=data), lambda *_: None, lambda: False)


def find_device(name: str) -> torch.device:
    """Return the device (`auto`, `cpu`, `cuda`), or end with one sentence where there is none."""
    try:
        return choose_device(name)
    except TrainingError as error:
        raise SystemExit(
            f"this benchmark is for a GPU, and PyTorch finds {torch.cuda.device_count()} of them "
            f"here, so {name} cannot be used: run it on another machine, or try it out with "
            "--device cpu"
        ) from error


def _describe_processor() -> str:
    cores = count_cores()
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        by_name = {key.strip(): value.strip() for key, value in fields.items()}
        model = by_name.get("model name", model)
        if {"cpu family", "model"} <= set(by_name):
            model += f" (family {by_name['cpu family']}, model {by_name['model']})"
    return f"{cores} cores of {model}"
