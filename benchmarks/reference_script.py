"""A training script of somebody else, run one training at a time on the images of a data set.

The script is one like `airbench94_muon.py` or `airbench96_faster.py` of github.com/KellerJordan/
cifar10-airbench: it reads `cifar10/train.pt` and `cifar10/test.pt` in the folder that it is started
in, trains again and again, and prints a table whose rows are between bars. A training ends with a
row `eval`, whose last three values are the accuracy of one view, that of several, and the seconds.
"""

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from store.packed import PackedDataset, Split

_LAST_ROW = re.compile(r"\|\s*eval\s*\|(.*)\|")


@dataclass(frozen=True)
class Run:
    """One training. Accuracies from 0 to 1, on the test images."""

    seconds: float
    preparation_seconds: float  # part of `seconds`; 0 where a script does not count it
    accuracy: float  # the mean score of several views
    single_view_accuracy: float


class ReferenceScript:
    """The process of a script. It stands still between two calls of `take_run`."""

    def __init__(self, script: Path, dataset: PackedDataset, folder: Path) -> None:
        """Start `script` in `folder`, which is empty and gets the images of `dataset`."""
        if not script.is_file():
            raise SystemExit(f"there is no script {script}: name the file of the reference")
        _write_images(dataset, folder / "cifar10")
        self._script = script
        self._process = subprocess.Popen(  # noqa: S603 -- the user names the script to run
            [sys.executable, "-u", script.resolve()], cwd=folder, stdout=subprocess.PIPE, text=True
        )

    def take_run(self) -> Run:
        """Let the script train once."""
        self._process.send_signal(signal.SIGCONT)
        assert self._process.stdout is not None  # noqa: S101 -- asked for above
        for line in self._process.stdout:
            found = _LAST_ROW.search(line)
            if found is not None:
                # Between two trainings it reads its images, which it does not time either.
                os.kill(self._process.pid, signal.SIGSTOP)
                single_view, accuracy, seconds = map(float, found[1].split("|")[-3:])
                return Run(seconds, 0.0, accuracy, single_view)
        raise SystemExit(
            f"{self._script.name} ended with exit code {self._process.wait()} before it printed "
            "enough rows `eval`: run it by itself and see why"
        )

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def _write_images(dataset: PackedDataset, folder: Path) -> None:
    folder.mkdir()
    splits: tuple[Split, ...] = ("train", "test")
    for split in splits:
        content = {
            "images": torch.from_numpy(np.array(dataset.images(split))),  # uint8 (N, H, W, C)
            "labels": torch.from_numpy(np.array(dataset.labels(split))),
            "classes": list(dataset.classes),
        }
        torch.save(content, folder / f"{split}.pt")
