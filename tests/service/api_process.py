"""`python -m service` as a process of its own."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]


class Api:
    """The process, and its address."""

    def __init__(self, folder: Path, **settings: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TENFOLD_DATA": str(folder),
            "TENFOLD_PORT": str(port),
            **settings,
        }
        self.url = f"http://127.0.0.1:{self.environment['TENFOLD_PORT']}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "service"],
            cwd=folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.read_output()
            try:
                if httpx.get(f"{self.url}/health/ready").is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        pytest.fail("the API was not ready within 30 s")

    def read_output(self) -> str:
        return self.process.communicate(timeout=30)[0]

    def read_peak_memory(self) -> int:
        """Return the most bytes that the process has held at once."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024
