"""The main job: a posted job is trained, reported, published, and classifies pictures."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from store.packed import open_newest
from tests.acceptance.conftest import Stack

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(params=["database", "folder"])
def stack(
    request: pytest.FixtureRequest, start_stack: Callable[..., Stack], tmp_path: Path
) -> Stack:
    """An API and a worker; once with artifacts in the database, once in a folder."""
    url = "database:" if request.param == "database" else f"file://{tmp_path / 'artifacts'}"
    stack = start_stack(artifacts_url=url)
    stack.start_worker()
    return stack


def test_a_posted_job_is_trained_reported_and_served(stack: Stack) -> None:
    submitted = stack.submit(epochs=1, report_every_steps=250, learning_rate=0.005)
    assert submitted["status"] == "queued"
    assert submitted["spec"]["momentum"] == 0.9
    job = stack.wait_for_status(submitted["id"], "succeeded", "failed")
    assert job["status"] == "succeeded", job["error"]
    assert (job["model"]["name"], job["model"]["version"]) == ("shapes-tutorial", 1)

    check_metrics(stack, job["id"])
    model = read_model(stack, "shapes-tutorial")
    check_report_equals_recomputation(stack, job["id"], model)
    check_predictions_equal_report(stack, job["id"])


def check_metrics(stack: Stack, job_id: int) -> None:
    metrics = stack.get(f"/jobs/{job_id}/metrics")
    steps = [row["step"] for row in metrics["steps"]]
    assert steps == list(range(250, steps[-1] + 1, 250))
    (epoch,) = metrics["epochs"]
    for name in ("train_loss", "test_loss", "learning_rate", "images_per_second"):
        assert epoch[name] > 0
    assert epoch["seconds_left"] == 0
    assert epoch["test_accuracy"] > 0.2  # ten classes: chance is 0.1


def read_model(stack: Stack, name: str) -> onnxruntime.InferenceSession:
    """Download the published model and check it against its manifest."""
    manifest = stack.get(f"/models/{name}/versions/1")["manifest"]
    contents = {}
    for file, about in manifest["files"].items():
        reply = stack.client.get(f"/models/{name}/versions/1/files/{file}")
        assert hashlib.sha256(reply.content).hexdigest() == about["sha256"]
        contents[file] = reply.content
    assert json.loads(contents["report.json"])["accuracy"] == manifest["metrics"]["accuracy"]
    return onnxruntime.InferenceSession(contents["model.onnx"])


def check_report_equals_recomputation(
    stack: Stack, job_id: int, model: onnxruntime.InferenceSession
) -> None:
    """Run the downloaded model over the test images and count anew."""
    report = stack.get(f"/jobs/{job_id}/report")
    dataset = open_newest(stack.folder / "packed", "shapes")
    assert dataset is not None
    labels = dataset.labels("test")
    (probabilities,) = model.run(None, {"images": np.array(dataset.images("test"))})
    predicted = probabilities.argmax(1)

    confusion = np.zeros((10, 10), dtype=int)
    np.add.at(confusion, (labels, predicted), 1)
    assert report["confusion_matrix"] == confusion.tolist()
    assert report["accuracy"] == pytest.approx((predicted == labels).mean(), abs=1e-12)
    per_class = [row["accuracy"] for row in report["classes"]]
    assert per_class == pytest.approx((np.diag(confusion) / confusion.sum(1)).tolist())
    assert report["images"] == len(labels)


def check_predictions_equal_report(stack: Stack, job_id: int) -> None:
    """Post 100 test images as PNG and get exactly what the report's predictions say."""
    items = stack.get(f"/jobs/{job_id}/predictions", limit=100)["items"]
    assert len(items) == 100
    for item in items:
        picture = stack.client.get(f"/datasets/shapes/images/test/{item['index']}").content
        reply = stack.client.post(
            "/predict", content=picture, headers={"Content-Type": "image/png"}
        )
        (prediction,) = reply.json()["predictions"]
        assert prediction["class"] == item["predicted"]
        assert prediction["probability"] == pytest.approx(item["confidence"], abs=1e-5)
