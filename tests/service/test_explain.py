"""`POST /explain` on a network of which it is known where it looks."""

import base64
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from store.settings import Settings
from tests.service.serving import CLASSES, encode, make_settings, publish, serve

PNG = {"Content-Type": "image/png"}


def build_corner_network() -> bytes:
    """Return a network whose first class is bright red at the top left, and nothing else."""
    weight = np.zeros((32, 32, 3, 10), dtype=np.float32)
    weight[:8, :8, 0, 0] = 6 / (255 * 64)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["values"], to=TensorProto.FLOAT),
            helper.make_node("Flatten", ["values"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weight"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probabilities"], axis=-1),
        ],
        "corner",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 32, 32, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(weight.reshape(-1, 10), "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content


def draw_corner() -> bytes:
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[:8, :8, 0] = 255
    return encode(pixels)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = make_settings(tmp_path_factory.mktemp("data"))
    publish(settings, "corner", build_corner_network())
    return settings


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[httpx.Client]:
    with serve(settings) as client:
        yield client


def test_the_heat_map_is_warm_where_the_network_looks(client: httpx.Client) -> None:
    reply = client.post("/explain", content=draw_corner(), headers=PNG)
    assert reply.status_code == 200, reply.text
    content = reply.json()
    assert (content["model"], content["version"]) == ("corner", 1)
    assert content["class"] == CLASSES[0]
    prediction = client.post("/predict", content=draw_corner(), headers=PNG).json()
    assert content["probability"] == prediction["predictions"][0]["probability"]
    heat_map = np.array(content["heat_map"])
    assert heat_map.shape == (32, 32)
    assert heat_map[:8, :8].min() > 0
    assert heat_map[:8, :8].mean() > 5 * np.abs(heat_map[16:, 16:]).max()
    assert np.abs(heat_map).max() <= 1


def test_another_class_can_be_explained(client: httpx.Client) -> None:
    reply = client.post(
        "/explain", params={"class": CLASSES[4]}, content=draw_corner(), headers=PNG
    )
    heat_map = np.array(reply.json()["heat_map"])
    assert reply.json()["class"] == CLASSES[4]
    assert heat_map[:8, :8].max() < 0


def test_the_picture_is_a_png_that_is_red_where_it_is_warm(client: httpx.Client) -> None:
    accept = PNG | {"Accept": "image/png"}
    reply = client.post("/explain", content=draw_corner(), headers=accept)
    assert reply.headers["content-type"] == "image/png"
    picture = np.asarray(Image.open(io.BytesIO(reply.content)))
    assert picture.shape == (256, 256, 3)
    red, _green, blue = picture[30, 30].astype(int)
    assert red > blue
    as_json = client.post("/explain", content=draw_corner(), headers=PNG).json()["image"]
    assert base64.b64decode(as_json) == reply.content


@pytest.mark.parametrize(
    ("query", "content", "status", "code"),
    [
        ("?class=unicorn", draw_corner(), 422, "unknown_class"),
        ("?model=nobody", draw_corner(), 404, "model_not_found"),
        ("", b"no picture", 415, "not_an_image"),
    ],
)
def test_what_cannot_be_explained_is_refused(
    client: httpx.Client, query: str, content: bytes, status: int, code: str
) -> None:
    reply = client.post(f"/explain{query}", content=content, headers=PNG)
    assert (reply.status_code, reply.json()["code"]) == (status, code)


def test_one_picture_is_explained_at_a_time(client: httpx.Client) -> None:
    files = [("file", draw_corner())] * 2
    assert client.post("/explain", files=files).status_code == 422


_WITHOUT_THE_EXTRA = """
import sys
from pathlib import Path
sys.modules["xaitk_saliency"] = None
from tests.service.serving import encode, make_pixels, make_settings, serve
with serve(make_settings(Path(sys.argv[1]))) as client:
    reply = client.post("/explain", content=encode(make_pixels(1)))
    assert (reply.status_code, reply.json()["code"]) == (409, "explain_not_installed"), reply.text
    assert "tenfold[explain]" in reply.json()["detail"]
    client.post("/predict", content=encode(make_pixels(1))).raise_for_status()
"""


def test_without_the_extra_the_reply_says_what_to_install(settings: Settings) -> None:
    subprocess.run(
        [sys.executable, "-c", _WITHOUT_THE_EXTRA, str(settings.data)],
        check=True,
        cwd=Path(__file__).parents[2],
    )


_EXPLAIN_IN_A_FRESH_PROCESS = """
import sys
from pathlib import Path
from tests.service.serving import encode, make_pixels, make_settings, serve
with serve(make_settings(Path(sys.argv[1]))) as client:
    assert "xaitk_saliency" not in sys.modules, "the extra was imported before it was needed"
    client.post("/explain", content=encode(make_pixels(1))).raise_for_status()
assert "torch" not in sys.modules, "the serving process imported torch"
"""


def test_explaining_never_imports_torch(settings: Settings) -> None:
    subprocess.run(
        [sys.executable, "-c", _EXPLAIN_IN_A_FRESH_PROCESS, str(settings.data)],
        check=True,
        cwd=Path(__file__).parents[2],
    )
