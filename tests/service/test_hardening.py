"""Nothing that a client sends becomes a path, and no pickle is ever loaded by the service."""

import ast
import json
import os
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
# What loads pickles, or runs what it is given.
UNSAFE_MODULES = {
    "pickle",
    "_pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
}
UNSAFE_CALLS = {"eval", "exec", "torch.load", "torch.jit.load", "torch.hub.load", "yaml.load"}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a service did while it was asked for everything with hostile names and pickles."""
    done = subprocess.run(
        [
            sys.executable,
            ROOT / "tests/service/hostile_session.py",
            tmp_path_factory.mktemp("data"),
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["is_awake"]
    return found


def test_no_name_and_no_id_becomes_a_path(report: dict[str, Any]) -> None:
    assert sum(report["statuses"].values()) > 500
    assert report["touched"] == []


def test_no_pickle_is_loaded(report: dict[str, Any]) -> None:
    assert report["unpickled"] == []


def test_a_hostile_name_is_the_clients_mistake(report: dict[str, Any]) -> None:
    assert [status for status in report["statuses"] if int(status) >= 500] == []


@pytest.mark.parametrize("package", ["store", "service", "client"])
def test_no_code_of_the_web_process_could_load_a_pickle(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            where = f"{path}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                assert not UNSAFE_MODULES & {name.name.split(".")[0] for name in node.names}, where
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in UNSAFE_MODULES, where
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in UNSAFE_CALLS, where
                options = {option.arg: ast.unparse(option.value) for option in node.keywords}
                assert options.get("allow_pickle", "False") == "False", where
                assert options.get("shell", "False") == "False", where


def test_the_web_process_fetches_no_address() -> None:
    """One file can send a request, to the address of the settings: no client chooses another."""
    receiver = ROOT / "service" / "webhook_receiver.py"
    senders = {"httpx", "requests", "urllib3", "aiohttp", "ftplib", "smtplib", "telnetlib"}
    for path in chain((ROOT / "service").rglob("*.py"), (ROOT / "store").rglob("*.py")):
        allowed = {"httpx"} if path == receiver else set()
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [name.name for name in node.names]
            if isinstance(node, ast.ImportFrom):
                names = [node.module or "", *(f"{node.module}.{name.name}" for name in node.names)]
            for name in names:
                assert name.split(".")[0] not in senders - allowed, path
                assert not name.startswith(("urllib.request", "http.client")), path
