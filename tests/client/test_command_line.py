"""`tenfold` as a script uses it: exit codes, JSON, pipes, completion."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest

from client import Job, Tenfold
from client.cli.main import tenfold as command_line
from tests.client.conftest import TRAINED_MODEL, Run

pytestmark = pytest.mark.timeout(300)


def test_every_listing_is_json_on_demand(tenfold: Run, trained_job: Job) -> None:
    for group in ("jobs", "models", "data", "networks", "recipes"):
        done = tenfold(group, "--json")
        assert done.returncode == 0, done.stderr
        assert isinstance(json.loads(done.stdout), list)
        assert json.loads(done.stdout)
    shown = json.loads(tenfold("jobs", "show", str(trained_job.id), "--json").stdout)
    assert shown["model"]["name"] == TRAINED_MODEL
    report = json.loads(tenfold("report", str(trained_job.id), "--json").stdout)
    assert report["confusion_matrix"] == trained_job.get_report().confusion_matrix


def test_training_prints_its_news_as_lines_of_json(tenfold: Run) -> None:
    done = tenfold(
        *["train", "--dataset", "shapes", "--epochs", "1", "--batch-size", "500"],
        *["--report-every-steps", "5", "--model", "in-json", "--json"],
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [kind for line in lines for kind in line]
    assert kinds[0] == "event"
    assert {"step", "epoch"} < set(kinds)
    assert kinds[-1] == "job"
    assert lines[-1]["job"]["model"]["name"] == "in-json"


def test_a_job_is_submitted_with_every_field_that_was_given(tenfold: Run, client: Tenfold) -> None:
    done = tenfold(
        *["train", "--dataset", "shapes", "--batch-size", "7", "--learning-rate", "0.5"],
        *["--set", "seed=3", "--set", "schedule=cosine", "--detach", "--json"],
    )
    job = client.get_job(json.loads(done.stdout)["id"])
    job.cancel()
    wanted = {"batch_size": 7, "learning_rate": 0.5, "seed": 3, "schedule": "cosine"}
    assert wanted.items() <= job.request.items()


def test_a_failed_job_makes_the_exit_code_1(tenfold: Run) -> None:
    done = tenfold("train", "--dataset", "cifar10", "--model", "never-trained")
    assert done.returncode == 1
    assert "datasets/cifar10" in done.stderr


def test_a_wrong_command_line_makes_the_exit_code_2(tenfold: Run) -> None:
    for arguments in (["fly"], ["train", "--epochs", "two"], ["predict"], ["train", "--set", "x"]):
        done = tenfold(*arguments)
        assert done.returncode == 2, arguments
        assert "Traceback" not in done.stderr
    assert tenfold("jobs", TENFOLD_URL="localhost:8000").returncode == 2
    done = tenfold("jobs", TENFOLD_URL="", TENFOLD_PORT="eight")
    assert done.returncode == 2
    assert "TENFOLD_PORT" in done.stderr


def test_a_service_that_is_not_there_makes_the_exit_code_3_and_says_what_to_do(
    tenfold: Run,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = tenfold("jobs", "--url", f"http://127.0.0.1:{port}")
    assert done.returncode == 3
    assert "tenfold up" in done.stderr
    assert done.stdout == ""


def test_a_refusal_makes_the_exit_code_4_and_names_every_field(tenfold: Run) -> None:
    done = tenfold("train", "--epochs", "0", "--batch-size", "0")
    assert done.returncode == 4
    assert "epochs: " in done.stderr
    assert "batch_size: " in done.stderr
    assert tenfold("jobs", "show", "4711").returncode == 4


def test_an_error_is_json_on_demand(tenfold: Run) -> None:
    done = tenfold("jobs", "show", "4711", "--json")
    assert done.stdout == ""
    assert json.loads(done.stderr)["code"] == "job_not_found"


def test_pictures_are_classified_from_files_folders_and_standard_input(
    tenfold: Run, trained_job: Job, picture: bytes, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "one.png").write_bytes(picture)
    (tmp_path / "two.png").write_bytes(picture)
    done = tenfold("predict", "two.png", "folder", "-", "--json", stdin=picture)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert [result["source"] for result in results] == ["two.png", "folder/one.png", "-"]
    assert len({result["prediction"]["class"] for result in results}) == 1
    table = tenfold("predict", "two.png", "--model", f"{TRAINED_MODEL}@1").stdout
    (expected, *_) = trained_job.list_predictions()
    assert expected.predicted in table


def test_a_picture_that_cannot_be_read_makes_the_exit_code_1(
    tenfold: Run, picture: bytes, tmp_path: Path
) -> None:
    (tmp_path / "good.png").write_bytes(picture)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    done = tenfold("predict", "good.png", "bad.png")
    assert done.returncode == 1
    assert "not a PNG" in done.stdout
    assert tenfold("predict", "missing.png").returncode == 2
    (tmp_path / "empty").mkdir()
    assert tenfold("predict", "empty").returncode == 2


def test_what_goes_into_a_pipe_is_plain_and_whole(
    tenfold: Run, client: Tenfold, trained_job: Job
) -> None:
    done = tenfold("report", str(trained_job.id), TERM="xterm-256color")
    assert "\x1b" not in done.stdout
    rows = done.stdout.splitlines()
    for name in (row.name for row in trained_job.get_report().classes):
        assert any(row.startswith(name) for row in rows)
    (file, *_) = client.get_model_version(TRAINED_MODEL, 1).files
    assert file.sha256 in tenfold("models", "show", f"{TRAINED_MODEL}@1", COLUMNS="40").stdout


def test_a_sorted_report_begins_with_the_worst_class(tenfold: Run, trained_job: Job) -> None:
    done = tenfold("report", str(trained_job.id), "--sort", "accuracy", "--mistakes", "0")
    worst = min(trained_job.get_report().classes, key=lambda row: row.accuracy or 0)
    table = done.stdout[done.stdout.index("\nclass") + 1 :].splitlines()
    assert f"{worst.accuracy:.1%}" in table[1]
    assert "Most confident mistakes" not in done.stdout


def test_samples_are_a_png(tenfold: Run, trained_job: Job, tmp_path: Path) -> None:
    assert trained_job.model
    done = tenfold("data", "samples", "shapes", "--count", "4")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "shapes-samples.png").read_bytes().startswith(b"\x89PNG")


def test_charts_are_written_in_the_format_of_the_name(
    tenfold: Run, trained_job: Job, tmp_path: Path
) -> None:
    number = str(trained_job.id)
    assert tenfold("curves", number, "--output", "curves.svg", "--log").returncode == 0
    assert b"<svg" in (tmp_path / "curves.svg").read_bytes()
    assert tenfold("report", number, "--picture", "matrix.png").returncode == 0
    assert (tmp_path / "matrix.png").read_bytes().startswith(b"\x89PNG")
    assert tenfold("data", "samples", "shapes", "--output", "shapes.svg").returncode == 0
    assert b"<svg" in (tmp_path / "shapes.svg").read_bytes()
    done = tenfold("curves", number, "--output", "curves.pdf")
    assert done.returncode == 2
    assert ".svg" in done.stderr


def test_a_heat_map_is_written_beside_the_answer(
    tenfold: Run, picture: bytes, tmp_path: Path
) -> None:
    pytest.importorskip("xaitk_saliency", reason="needs the extra `explain`")
    (tmp_path / "shape.png").write_bytes(picture)
    model = f"{TRAINED_MODEL}@1"
    done = tenfold("explain", "shape.png", "--model", model, "--class", "circle", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["class"] == "circle"
    assert (tmp_path / "shape-explained.png").read_bytes().startswith(b"\x89PNG")
    assert tenfold("explain", "shape.png", "--class", "cow").returncode == 4


def test_completion_knows_commands_options_and_names_of_the_service(tenfold: Run) -> None:
    def complete(words: str) -> list[str]:
        count = words.count(" ")
        variables = {
            "_TENFOLD_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(count),
        }
        return [line.partition(",")[2] for line in tenfold(**variables).stdout.splitlines()]

    assert complete("tenfold re") == ["recipes", "report", "restore"]
    assert "--batch-size" in complete("tenfold train --b")
    assert complete("tenfold train tut") == ["tutorial"]
    assert complete("tenfold train --dataset sha") == ["shapes"]
    for shell in ("bash", "zsh", "fish"):
        assert "_TENFOLD_COMPLETE" in tenfold("completion", shell).stdout


def test_completion_without_a_service_is_silent(tenfold: Run) -> None:
    done = tenfold(
        _TENFOLD_COMPLETE="bash_complete",
        COMP_WORDS="tenfold train tut",
        COMP_CWORD="2",
        TENFOLD_URL="http://127.0.0.1:9",
    )
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_a_reader_that_has_seen_enough_is_no_failure(environment: dict[str, str]) -> None:
    command = f"{sys.executable} -P -m client recipes show tutorial | true"
    done = subprocess.run(
        ["bash", "-c", command], env=environment, capture_output=True, timeout=60, check=False
    )
    assert done.stderr == b""


def test_every_command_explains_itself() -> None:
    """A sentence for each command, and for each of its options."""

    def check(command: click.Command) -> None:
        assert command.help, command.name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{command.name} {parameter.name}"
        if isinstance(command, click.Group):
            for child in command.commands.values():
                check(child)

    check(command_line)
