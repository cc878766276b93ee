"""`/datasets` over HTTP, with a packed data set on the disk."""

import io
from base64 import b64decode
from xml.etree import ElementTree as ET

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from store import packed
from store.packed import Examples
from store.settings import Settings
from tests.service.stand_in_worker import StandInWorker

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 20, 30, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def animals(settings: Settings, worker: StandInWorker) -> None:
    """A data set of six training images and two test images, packed and described."""
    labels = np.array([0, 1, 2, 0, 1, 2])
    copy = packed.pack(
        settings.packed_folder,
        name="animals",
        description="animals",
        source="a test",
        fingerprint="f00d",
        classes=("cat", "dog", "owl"),
        splits={"train": Examples(PIXELS, labels), "test": Examples(PIXELS[:2], labels[:2])},
    )
    worker.describe_dataset(
        "animals",
        description=copy.description,
        classes=copy.classes,
        class_counts=copy.class_counts,
        height=copy.height,
        width=copy.width,
        fingerprint=copy.fingerprint,
        problem=None,
    )
    worker.describe_dataset("cifar10", state="downloadable", description="CIFAR-10")


def read_png(reply: httpx.Response) -> NDArray[np.uint8]:
    assert reply.headers["Content-Type"] == "image/png", reply.text
    return np.asarray(Image.open(io.BytesIO(reply.content)))


def test_data_sets_are_listed_with_their_state(client: httpx.Client) -> None:
    items = client.get("/datasets").json()["items"]
    assert [(item["name"], item["state"]) for item in items] == [
        ("animals", "ready"),
        ("cifar10", "downloadable"),
    ]


def test_a_data_set_shows_classes_counts_and_sizes(client: httpx.Client) -> None:
    dataset = client.get("/datasets/animals").json()
    assert dataset["classes"] == ["cat", "dog", "owl"]
    assert dataset["class_counts"] == {"train": [2, 2, 2], "test": [1, 1, 0]}
    assert dataset["counts"] == {"train": 6, "test": 2}
    assert (dataset["height"], dataset["width"]) == (20, 30)


def test_an_unknown_data_set_is_not_found_and_the_known_are_named(client: httpx.Client) -> None:
    problem = client.get("/datasets/flowers").json()
    assert (problem["status"], problem["code"]) == (404, "dataset_not_found")
    assert "animals, cifar10" in problem["detail"]


def test_an_image_is_the_very_one_of_its_index(client: httpx.Client) -> None:
    np.testing.assert_array_equal(
        read_png(client.get("/datasets/animals/images/train/4")), PIXELS[4]
    )
    np.testing.assert_array_equal(
        read_png(client.get("/datasets/animals/images/test/1")), PIXELS[1]
    )


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("test/2", 404, "image_not_found"),
        ("train/-1", 422, "invalid_request"),
        ("validation/0", 422, "invalid_request"),
        ("train/99999999999999999999", 422, "invalid_request"),
    ],
)
def test_an_image_that_is_not_there_is_refused(
    client: httpx.Client, path: str, status: int, code: str
) -> None:
    reply = client.get(f"/datasets/animals/images/{path}")
    assert (reply.status_code, reply.json()["code"]) == (status, code)


def test_samples_depend_on_seed_and_split_alone(client: httpx.Client) -> None:
    def draw(seed: int, split: str = "train") -> bytes:
        query = {"count": "3", "seed": str(seed), "split": split}
        reply = client.get("/datasets/animals/samples", params=query)
        read_png(reply)
        return reply.content

    assert draw(seed=1) == draw(seed=1)
    assert draw(seed=1) != draw(seed=2)
    assert draw(seed=1) != draw(seed=1, split="test")


def test_samples_of_more_images_than_there_are_show_all(client: httpx.Client) -> None:
    six = client.get("/datasets/animals/samples", params={"count": 6, "seed": 1})
    more = client.get("/datasets/animals/samples", params={"count": 100, "seed": 1})
    assert six.content == more.content


@pytest.mark.parametrize("query", [{"count": 0}, {"count": 101}, {"seed": -1}, {"split": "x"}])
def test_samples_that_cannot_be_are_refused(client: httpx.Client, query: dict[str, str]) -> None:
    assert client.get("/datasets/animals/samples", params=query).status_code == 422


def test_pictures_can_be_seen_before_the_worker_describes_the_packed_copy(
    client: httpx.Client, worker: StandInWorker
) -> None:
    worker.describe_dataset("animals", state="available", fingerprint=None)
    np.testing.assert_array_equal(
        read_png(client.get("/datasets/animals/images/train/4")), PIXELS[4]
    )


@pytest.mark.parametrize("path", ["samples", "images/test/0"])
def test_pictures_of_a_data_set_that_is_not_here_say_what_to_do(
    client: httpx.Client, path: str
) -> None:
    problem = client.get(f"/datasets/cifar10/{path}").json()
    assert (problem["status"], problem["code"]) == (409, "dataset_not_ready")
    assert "POST a job" in problem["detail"]


def test_samples_come_as_an_svg_with_the_classes_as_text(client: httpx.Client) -> None:
    reply = client.get("/datasets/animals/samples.svg", params={"count": 6, "seed": 2})
    assert reply.headers["Content-Type"] == "image/svg+xml"
    page = ET.fromstring(reply.content)  # noqa: S314 -- our own
    names = [text.text for text in page.iter("{http://www.w3.org/2000/svg}text")]
    assert sorted(filter(None, names)) == ["cat", "cat", "dog", "dog", "owl", "owl"]
    images = [image.get("href", "") for image in page.iter("{http://www.w3.org/2000/svg}image")]
    assert len(images) == 6
    shown = Image.open(io.BytesIO(b64decode(images[0].partition(",")[2])))
    # A whole factor larger, so that each pixel stays one.
    assert (shown.width % 30, shown.height % 20) == (0, 0)
