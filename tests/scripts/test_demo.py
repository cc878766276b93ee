"""`make demo`: everything once, with what the machine has, and nothing left running."""

import re
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from store import jobs
from store.database import Database
from store.tables import JobStatus
from tests.scripts.conftest import Script

Start = Callable[..., Script]

DEMO = "scripts/demo.py"

# A demo trains for seconds on an idle machine, and much longer on a busy one.
DEMO_SECONDS = 200
pytestmark = pytest.mark.timeout(DEMO_SECONDS + 40)


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Two classes that a glance tells apart, in the layout of the CIFAR-10 images."""
    random = np.random.default_rng(0)
    folder = tmp_path / "images"
    for split, count in (("train", 40), ("test", 8)):
        for name, brightness in (("day", 200), ("night", 20)):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 40, (32, 32, 3), np.uint8) + np.uint8(brightness)
                Image.fromarray(pixels).save(folder / split / name / f"{number}.png")
    return folder


def test_without_images_and_network_it_says_so_and_trains_on_shapes(start_script: Start) -> None:
    script = start_script(DEMO)
    assert script.wait(DEMO_SECONDS) == 0, script.output
    assert "epoch 2 of 2, step 2500: loss " in script.output
    assert "No CIFAR-10: CIFAR-10 is not on this machine and cannot be downloaded" in script.output
    assert "Training on the built-in drawn shapes instead." in script.output
    assert "1,000 test images of shapes" in script.output
    (png,) = script.data.glob("demo-shapes-*.png")
    with Image.open(png) as image:
        assert image.size == (32, 32)
    assert re.search(rf"\$ tenfold predict --model shapes-tutorial@1 {png}\n", script.output)
    assert re.search(rf"{png} +\w+ +\d+\.\d%", script.output)
    assert script.list_processes() == {}


def test_the_images_that_the_user_names_are_trained_on(
    start_script: Start, image_folder: Path
) -> None:
    script = start_script(DEMO, "--cifar10", str(image_folder))
    assert script.wait(DEMO_SECONDS) == 0, script.output
    assert "16 test images of cifar10" in script.output
    assert "No CIFAR-10" not in script.output
    assert script.list_processes() == {}


def test_on_a_terminal_progress_is_a_bar(start_script: Start, image_folder: Path) -> None:
    """FORCE_COLOR tells the output library that it writes to a terminal."""
    script = start_script(DEMO, "--cifar10", str(image_folder), FORCE_COLOR="1")
    script.wait_for(lambda: "epoch 1 of 2" in script.output)
    assert script.wait(DEMO_SECONDS) == 0, script.output
    assert "━━━━" in script.output
    assert "0%" in script.output


def test_a_folder_without_images_is_refused_with_what_is_expected(
    start_script: Start, tmp_path: Path
) -> None:
    script = start_script(DEMO, "--cifar10", str(tmp_path))
    assert script.wait() == 1
    assert f"{tmp_path} holds no CIFAR-10: expected train/<class>/*" in script.output
    assert script.list_processes() == {}


def test_an_interrupted_demo_cancels_its_job_and_stops_all(start_script: Start) -> None:
    """Else the next worker on the data folder would train on."""
    script = start_script(DEMO)
    script.wait_for(lambda: "Job 2: recipe tutorial on shapes" in script.output, DEMO_SECONDS)
    script.process.send_signal(signal.SIGINT)
    assert script.wait(30) == 130, script.output
    assert script.list_processes() == {}
    database = Database(f"sqlite:///{script.data / 'tenfold.db'}")
    with database.reading() as session:
        assert jobs.get(session, 2).status is JobStatus.CANCELLED
    database.dispose()
