"""The README's API example is run as it is written, line by line."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.conftest import ROOT, Stack

ADDRESS = "http://127.0.0.1:8000"


def read_commands() -> str:
    section = (ROOT / "README.md").read_text().split("## The API by example\n")[1].split("\n## ")[0]
    return "\n".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL))


@pytest.mark.timeout(180)
@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's examples use curl")
def test_the_readme_example_works_as_written(
    start_stack: Callable[..., Stack], tmp_path: Path
) -> None:
    stack = start_stack()
    stack.start_worker()
    commands = read_commands().replace(ADDRESS, str(stack.client.base_url).rstrip("/"))
    # --fail turns every refusal into an exit code.
    script = 'set -e\ncurl() { command curl --fail-with-body "$@"; echo; }\n' + commands
    done = subprocess.run(
        ["bash", "-c", script],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"confusion_matrix"' in done.stdout
    assert '"model":"shapes-tutorial","version":1,"predictions"' in done.stdout
    assert stack.get("/models/shapes-tutorial")["aliases"] == {"production": 1}
