"""`tenfold up`: one command starts all, says where it is, and leaves nothing behind."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from client import Tenfold

pytestmark = pytest.mark.timeout(200)


def read_until_ready(process: subprocess.Popen[str]) -> str:
    """Return all that was said until the address came, in which a worker is alive already."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if "Tenfold is ready" in line:
            return said
    pytest.fail(f"it ended:\n{said}")


def test_up_says_where_it_is_and_stops_on_ctrl_c(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "__main__.py").write_text("raise SystemExit('the wrong program')")
    process = subprocess.Popen(
        [
            *[sys.executable, "-P", "-m", "client", "up", "--data", str(tmp_path / "data")],
            *["--port", str(port), "--device", "cpu"],
        ],
        cwd=tmp_path,
        env=environment | {"https_proxy": "http://127.0.0.1:9"},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        said = read_until_ready(process)
        assert f"http://127.0.0.1:{port}" in said
        with Tenfold(f"http://127.0.0.1:{port}") as client:
            assert client.check_readiness().workers_alive == 1
        assert (tmp_path / "data" / "tenfold.db").exists()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{port}/health/live")
    finally:
        process.terminate()
        process.wait(30)
        assert process.stderr is not None
        process.stderr.close()


def test_up_on_a_busy_port_says_so_and_ends(environment: dict[str, str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [
                *[sys.executable, "-P", "-m", "client", "up", "--port", str(port)],
                *["--data", str(tmp_path / "data")],
            ],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
    assert done.returncode == 1
    assert "TENFOLD_PORT" in done.stderr
    assert "is ready" not in done.stderr
