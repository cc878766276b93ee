"""`tenfold backup`, `restore` and `doctor` on a running installation, as a user types them."""

import json
from pathlib import Path

from client import Job
from tests.acceptance.conftest import Stack
from tests.client.conftest import Run


def test_a_running_installation_is_backed_up_and_restored_elsewhere(
    tenfold: Run, stack: Stack, trained_job: Job, endless_job: Job, tmp_path: Path
) -> None:
    made = tenfold("backup", "monday", "--data", str(stack.folder), "--json")
    assert made.returncode == 0, made.stderr
    about = json.loads(made.stdout)
    assert about["jobs"] >= 2
    assert about["models"] >= 1
    data = tmp_path / "elsewhere"
    restored = tenfold("restore", "monday", "--data", str(data))
    assert restored.returncode == 0, restored.stderr
    assert f"{about['jobs']} jobs" in restored.stdout
    examined = tenfold("doctor", "--data", str(data), "--json")
    assert examined.returncode == 0, examined.stdout
    assert {"database", "rows", "artifacts", "GPU", "workers"} <= {
        finding["subject"] for finding in json.loads(examined.stdout)
    }
    assert endless_job.refresh().status == "running"
    assert trained_job.refresh().status == "succeeded"


def test_a_running_installation_is_never_replaced(
    tenfold: Run, stack: Stack, trained_job: Job
) -> None:
    tenfold("backup", "monday", "--data", str(stack.folder))
    for told in ([], ["--replace"]):
        refused = tenfold("restore", "monday", "--data", str(stack.folder), *told)
        assert refused.returncode == 4
        assert "stop the API" in refused.stderr.replace("Stop", "stop")
    assert trained_job.refresh().status == "succeeded"


def test_the_doctor_tells_the_shell_that_something_is_bad(tenfold: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tenfold.db").write_bytes(b"no database " * 1000)
    examined = tenfold("doctor")
    assert examined.returncode == 1
    assert "BAD" in examined.stdout
    assert examined.stderr == ""


def test_a_wrong_setting_is_named(tenfold: Run) -> None:
    done = tenfold("doctor", TENFOLD_LEASE_SECONDS="soon")
    assert done.returncode == 2
    assert "TENFOLD_LEASE_SECONDS" in done.stderr
    assert "Traceback" not in done.stderr
