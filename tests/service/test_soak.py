"""The soak of `benchmarks/soak.py`, for 15 seconds instead of 10 minutes."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(180)
def test_under_mixed_load_every_reply_is_right_and_memory_stays_flat() -> None:
    command = [sys.executable, "benchmarks/soak.py", "--seconds", "15"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
