"""A worker that is killed leaves where it was."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from worker.last_words import LastWords

PROGRAM = """
import os, signal, sys
from pathlib import Path
from worker.last_words import LastWords

def train():
    with LastWords(Path(sys.argv[1]), "worker-1") as last_words:
        last_words.note()
        last_words.note()
        os.kill(os.getpid(), int(sys.argv[2]))

train()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_killed_worker_leaves_its_last_stack(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(int(number))]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], check=False, capture_output=True)
    assert done.returncode == -number
    words = (tmp_path / "worker-1.txt").read_text()
    assert "in train" in words
    # Each note replaces the one before; a signal that can be caught adds the stack that it met.
    assert words.count("in train") == (1 if number is signal.SIGKILL else 2)
    assert ("Fatal Python error" in words) == (number is not signal.SIGKILL)


def test_a_worker_that_ends_in_order_leaves_nothing(tmp_path: Path) -> None:
    with LastWords(tmp_path, "worker-1") as last_words:
        last_words.note()
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())
