"""The documentation names every command, option and exit code, and its examples run."""

import contextlib
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

import client
from client import Job, Tenfold
from client.cli.exit_codes import ExitCode
from client.cli.main import tenfold as command_line
from tests.acceptance.conftest import Stack
from tests.client.conftest import ROOT

pytestmark = pytest.mark.timeout(500)
COMMAND_LINE = (ROOT / "docs" / "command-line.md").read_text()
CLIENT = (ROOT / "docs" / "client.md").read_text()
# Said once, in a section of its own.
EVERYWHERE = {"--url", "--api-key", "--json"}
CLIENT_EXAMPLES = re.findall(r"```python\n(.*?)```", CLIENT, re.DOTALL)


def list_commands(group: click.Group, words: str = "tenfold") -> dict[str, click.Command]:
    """Return every command without subcommands by what one types."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= list_commands(command, f"{words} {name}")
        else:
            found[f"{words} {name}"] = command
    return found


def list_options(command: click.Command) -> set[str]:
    return {
        option
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
    }


def read_sections() -> dict[str, str]:
    """Return the text below each heading that is a command."""
    parts = re.split(r"^### `(tenfold [a-z ]+)`$", COMMAND_LINE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_command_has_a_section_and_every_section_a_command() -> None:
    assert set(read_sections()) == set(list_commands(command_line))


@pytest.mark.parametrize("words", list_commands(command_line))
def test_every_option_is_in_the_section_of_its_command(words: str) -> None:
    section = read_sections()[words]
    documented = set(re.findall(r"^\| `(--[a-z-]+)`", section, re.MULTILINE))
    assert documented == list_options(list_commands(command_line)[words]) - EVERYWHERE


def test_every_exit_code_is_documented() -> None:
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", COMMAND_LINE, re.MULTILINE)}
    assert documented == {code.value for code in ExitCode}


def test_every_exception_is_documented() -> None:
    for name in client.__all__:
        if name.endswith("Error") and name != "TenfoldError":
            assert f"`{name}`" in CLIENT, name


@pytest.fixture(scope="module", autouse=True)
def documented_model(url: str) -> None:
    """The model that the examples name; some of them train it anew."""
    with Tenfold(url) as client:
        client.submit_job(dataset="shapes", epochs=1, batch_size=500).wait(timeout_seconds=400)


def find_id(number: str, client: Tenfold, trained_job: Job) -> int:
    """Return what 6, 7 and 8 mean: a cancelled job, one that succeeded, one that runs."""
    if number == "6":
        return client.submit_job(dataset="shapes", priority=-100).cancel().id
    if number == "7":
        return trained_job.id
    running = [job.id for job in client.list_jobs() if not job.status.is_ended]
    return running[0] if running else client.submit_job(dataset="shapes", epochs=1000).id


def test_every_example_of_the_command_line_runs(
    environment: dict[str, str], stack: Stack, client: Tenfold, trained_job: Job, tmp_path: Path
) -> None:
    (tmp_path / "pictures").mkdir()
    for path in ("some.png", "pictures/one.png"):
        (tmp_path / path).write_bytes(client.get_dataset_image("shapes", "test", 0))
    # `tenfold` is this checkout's.
    launcher = tmp_path / "bin" / "tenfold"
    launcher.parent.mkdir()
    launcher.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -m client "$@"\n')
    launcher.chmod(0o755)
    blocks = re.findall(r"```console\n(.*?)```", COMMAND_LINE, re.DOTALL)
    commands = [line[2:] for block in blocks for line in block.splitlines() if line[:1] == "$"]
    assert len(commands) > 20
    for command in commands:
        actual = re.sub(
            r"(?<=[a-z] )[678](?= |$)",
            lambda found: str(find_id(found[0], client, trained_job)),
            command,
        )
        done = subprocess.run(
            ["sh", "-c", actual],
            cwd=tmp_path,
            env=environment
            | {
                "PATH": f"{launcher.parent}:{environment['PATH']}",
                "TENFOLD_DATA": str(stack.folder),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == 0, f"{actual}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("number", range(len(CLIENT_EXAMPLES)))
@pytest.mark.usefixtures("trained_job")
def test_every_example_of_the_client_runs(
    number: int, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENFOLD_URL", url)
    monkeypatch.chdir(tmp_path)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(CLIENT_EXAMPLES[number], {"__name__": "__main__"})  # noqa: S102 -- our own docs
    assert output.getvalue()
