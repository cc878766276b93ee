"""schemathesis sends what the OpenAPI document allows, and what it forbids, and checks replies."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.populated import create_key, populate
from tests.service.serving import serve

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")


@pytest.mark.timeout(600)
def test_the_service_keeps_to_its_openapi_document(tmp_path: Path) -> None:
    """A short run of a fixed seed; `make fuzz-api` is the long one."""
    (tmp_path / "data").mkdir()
    settings = populate(tmp_path / "data")
    key = create_key(settings)
    with serve(settings) as client:
        run = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli"),
                *("--config-file", str(CONFIGURATION), "run", f"{client.base_url}/openapi.json"),
                *("--checks", "all", "--phases", "examples,fuzzing,stateful"),
                *("--max-examples", "2", "--seed", "1", "--no-shrink", "--no-color"),
                *("--suppress-health-check", "all", "--exclude-operation-id", "revoke_key"),
                *("--header", f"Authorization: Bearer {key}"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert run.returncode == 0, run.stdout[-20_000:]
    assert "Tested: " in run.stdout
