"""Curves and confusion matrices as pictures, over HTTP."""

import io
from xml.etree import ElementTree as ET

import httpx
import pytest
from PIL import Image

from service import charts
from store.evaluations import EvaluationReport
from tests.service.stand_in_worker import REPORT, StandInWorker

# matplotlib finds the machine's fonts when it is first used.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(autouse=True)
def patience(client: httpx.Client) -> None:
    """Wait for the first import of matplotlib, however slow the machine is."""
    client.timeout = httpx.Timeout(250)


def read_words(svg: bytes) -> str:
    return " ".join("".join(text.itertext()) for text in ET.fromstring(svg).iter())  # noqa: S314


def submit(client: httpx.Client) -> int:
    job_id: int = client.post("/jobs", json={}).json()["id"]
    return job_id


@pytest.fixture
def trained_id(client: httpx.Client, worker: StandInWorker) -> int:
    job_id = submit(client)
    claim = worker.claim()
    worker.report_steps(claim, 1, 2, 3, 4)
    worker.report_epoch(claim, epoch=1, step=2)
    worker.report_epoch(claim, epoch=2, step=4)
    worker.succeed(claim)
    return job_id


@pytest.mark.parametrize("name", ["curves", "confusion-matrix"])
def test_a_picture_comes_as_png_and_as_svg(
    client: httpx.Client, trained_id: int, name: str
) -> None:
    png = client.get(f"/jobs/{trained_id}/{name}.png")
    assert png.headers["Content-Type"] == "image/png"
    assert min(Image.open(io.BytesIO(png.content)).size) > 400
    svg = client.get(f"/jobs/{trained_id}/{name}.svg")
    assert svg.headers["Content-Type"] == "image/svg+xml"
    assert "sandbox" in svg.headers["Content-Security-Policy"]
    assert f"Job {trained_id}, lenet on cifar10" in read_words(svg.content)
    assert client.get(f"/jobs/{trained_id}/{name}.svg").content == svg.content


def test_curves_name_their_axes_and_lines(client: httpx.Client, trained_id: int) -> None:
    words = read_words(client.get(f"/jobs/{trained_id}/curves.svg").content)
    for word in ("Loss", "Accuracy", "Epoch", "Running", "Training images", "Test images", "%"):
        assert word in words
    assert "No figures yet" not in words


def test_the_axis_of_the_loss_is_logarithmic_on_demand(
    client: httpx.Client, trained_id: int
) -> None:
    path = f"/jobs/{trained_id}/curves.svg"
    assert client.get(path, params={"log": "true"}).content != client.get(path).content


def test_a_job_that_waits_has_empty_curves_and_no_matrix(client: httpx.Client) -> None:
    job_id = submit(client)
    assert "No figures yet" in read_words(client.get(f"/jobs/{job_id}/curves.svg").content)
    reply = client.get(f"/jobs/{job_id}/confusion-matrix.png")
    assert (reply.status_code, reply.json()["code"]) == (409, "report_not_ready")


def test_a_job_within_its_first_epoch_is_drawn_by_steps(
    client: httpx.Client, worker: StandInWorker
) -> None:
    job_id = submit(client)
    worker.report_steps(worker.claim(), 1, 2)
    words = read_words(client.get(f"/jobs/{job_id}/curves.svg").content)
    assert "Step" in words
    assert "Epoch" not in words


def test_the_matrix_has_every_number_and_every_class(client: httpx.Client, trained_id: int) -> None:
    words = read_words(client.get(f"/jobs/{trained_id}/confusion-matrix.svg").content)
    for word in ("cat", "dog", "owl", "True class", "Predicted class", "60.0%"):
        assert word in words


def test_another_format_and_another_job_are_refused(client: httpx.Client, trained_id: int) -> None:
    assert client.get(f"/jobs/{trained_id}/curves.pdf").status_code == 422
    assert client.get("/jobs/4711/curves.png").json()["code"] == "job_not_found"


@pytest.mark.parametrize("count", [2, 100])
def test_any_name_and_number_of_classes_can_be_drawn(count: int) -> None:
    names = ["$5 & <b>\x01", "猫", *(f"a class with a long name {n}" for n in range(count - 2))]
    matrix = [[int(label == predicted) for predicted in range(count)] for label in range(count)]
    classes = [{**REPORT["classes"][0], "name": name} for name in names]
    report = EvaluationReport.model_validate(
        {**REPORT, "classes": classes, "confusion_matrix": matrix}
    )
    words = read_words(charts.draw_confusion_matrix("Job 1", report, "svg"))
    assert "$5 & <b>�" in words
    assert charts.draw_confusion_matrix("Job 1", report, "png").startswith(b"\x89PNG")


def test_ten_thousand_steps_make_a_small_file(client: httpx.Client, worker: StandInWorker) -> None:
    job_id = submit(client)
    worker.report_steps(worker.claim(), *range(1, 10_001))
    assert len(client.get(f"/jobs/{job_id}/curves.svg").content) < 200_000
