"""`/v2` on a real server: byte by byte as the protocol says, and with a published client."""

import base64
import gzip
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from store.settings import Settings
from tests.service.serving import CLASSES, encode, make_pixels, make_settings, publish, serve

PICTURES = np.stack([make_pixels(seed) for seed in range(3)])
INFER = "/v2/models/animals/infer"
# The interpreter of an environment that has tritonclient[http], which this one need not have.
CLIENT_PYTHON = os.environ.get("TENFOLD_TEST_TRITON_PYTHON") or (
    sys.executable if find_spec("tritonclient") else None
)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = make_settings(tmp_path_factory.mktemp("data"))
    publish(settings, "animals")
    return settings


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[httpx.Client]:
    with serve(settings) as client:
        yield client


@pytest.fixture(scope="module")
def expected(client: httpx.Client) -> NDArray[np.float32]:
    """The probabilities that /predict gives."""
    files = [("file", ("x.png", encode(pixels))) for pixels in PICTURES]
    predictions = client.post("/predict", files=files).json()["predictions"]
    return np.array([list(item["probabilities"].values()) for item in predictions], np.float32)


def tensor(datatype: str, shape: list[int], **fields: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "images", "datatype": datatype, "shape": shape, **fields}]}


def read_json(reply: httpx.Response) -> dict[str, NDArray[Any]]:
    assert reply.status_code == 200, reply.text
    return {
        output["name"]: np.array(output["data"]).reshape(output["shape"])
        for output in reply.json()["outputs"]
    }


@pytest.mark.parametrize("is_nested", [False, True])
def test_pixels_in_json_are_answered(
    client: httpx.Client,
    expected: NDArray[np.float32],
    is_nested: bool,  # noqa: FBT001
) -> None:
    data = PICTURES.tolist() if is_nested else PICTURES.ravel().tolist()
    reply = client.post(INFER, json={"id": "7", **tensor("UINT8", [3, 32, 32, 3], data=data)})
    outputs = read_json(reply)
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-6)
    assert outputs["class_index"].tolist() == expected.argmax(axis=1).tolist()
    assert outputs["class"].tolist() == [CLASSES[index] for index in expected.argmax(axis=1)]
    assert reply.json()["id"] == "7"
    assert reply.json()["model_name"] == "animals"
    assert reply.json()["model_version"] == "1"


def test_files_in_json_are_answered(client: httpx.Client, expected: NDArray[np.float32]) -> None:
    data = [base64.b64encode(encode(pixels)).decode() for pixels in PICTURES]
    outputs = read_json(client.post(INFER, json=tensor("BYTES", [3], data=data)))
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-6)


def pack_files() -> bytes:
    files = [encode(pixels) for pixels in PICTURES]
    return b"".join(struct.pack("<I", len(file)) + file for file in files)


@pytest.mark.parametrize("compression", ["", "gzip", "deflate"])
@pytest.mark.parametrize(
    ("datatype", "shape", "content"),
    [("UINT8", [3, 32, 32, 3], PICTURES.tobytes()), ("BYTES", [3], pack_files())],
)
def test_binary_tensors_are_answered_in_binary(  # noqa: PLR0917
    client: httpx.Client,
    expected: NDArray[np.float32],
    datatype: str,
    shape: list[int],
    content: bytes,
    compression: str,
) -> None:
    request = tensor(datatype, shape, parameters={"binary_data_size": len(content)})
    request["outputs"] = [
        {"name": "class"},
        {"name": "probabilities", "parameters": {"binary_data": True}},
        {"name": "class_index", "parameters": {"binary_data": True}},
    ]
    head = json.dumps(request).encode()
    packers: dict[str, Callable[[bytes], bytes]] = {
        "": bytes,
        "gzip": gzip.compress,
        "deflate": zlib.compress,
    }
    reply = client.post(
        INFER,
        content=packers[compression](head + content),
        headers={
            "Inference-Header-Content-Length": str(len(head)),
            **({"Content-Encoding": compression} if compression else {}),
        },
    )
    assert reply.status_code == 200, reply.text
    length = int(reply.headers["Inference-Header-Content-Length"])
    names, shares, indices = json.loads(reply.content[:length])["outputs"]
    binary = reply.content[length:]
    shares_bytes = binary[: shares["parameters"]["binary_data_size"]]
    indices_bytes = binary[shares["parameters"]["binary_data_size"] :]
    assert len(indices_bytes) == indices["parameters"]["binary_data_size"]
    np.testing.assert_allclose(
        np.frombuffer(shares_bytes, "<f4").reshape(shares["shape"]), expected, atol=1e-6
    )
    assert np.frombuffer(indices_bytes, "<i8").tolist() == expected.argmax(axis=1).tolist()
    assert names["data"] == [CLASSES[index] for index in expected.argmax(axis=1)]


@pytest.mark.parametrize(
    ("content", "count"), [(encode(PICTURES[0]), 1), (PICTURES.tobytes(), 3)], ids=["png", "pixels"]
)
def test_a_body_that_is_the_one_input_is_answered(
    client: httpx.Client, expected: NDArray[np.float32], content: bytes, count: int
) -> None:
    headers = {"Inference-Header-Content-Length": "0"}
    outputs = read_json(client.post(INFER, content=content, headers=headers))
    np.testing.assert_allclose(outputs["probabilities"], expected[:count], atol=1e-6)


def test_classification_ranks_the_classes(
    client: httpx.Client, expected: NDArray[np.float32]
) -> None:
    request = tensor("UINT8", [3, 32, 32, 3], data=PICTURES.ravel().tolist())
    request["outputs"] = [{"name": "probabilities", "parameters": {"classification": 2}}]
    ranked = read_json(client.post(INFER, json=request))["probabilities"]
    best = [int(text.split(":")[1]) for text in ranked[:, 0]]
    assert ranked.shape == (3, 2)
    assert best == expected.argmax(axis=1).tolist()


ONE = make_pixels(1).ravel().tolist()
GOOD = tensor("UINT8", [1, 32, 32, 3], data=ONE)


@pytest.mark.parametrize(
    ("request_body", "status", "words"),
    [
        ({}, 422, "inputs"),
        ({"inputs": []}, 422, "exactly one input"),
        ({"inputs": [{**GOOD["inputs"][0], "name": "x"}]}, 422, "exactly one input"),
        (tensor("FP32", [1, 32, 32, 3], data=ONE), 422, "UINT8"),
        (tensor("UINT8", [1, 32, 32], data=ONE), 422, "[N, 32, 32, 3]"),
        (tensor("UINT8", [2, 32, 32, 3], data=ONE), 422, "6144 numbers"),
        (tensor("UINT8", [1, 32, 32, 3], data=[256, *ONE[1:]]), 422, "0 to 255"),
        (tensor("UINT8", [1, 32, 32, 3], data=["a", *ONE[1:]]), 422, "0 to 255"),
        (tensor("UINT8", [-1, 32, 32, 3], data=ONE), 422, "[N, 32, 32, 3]"),
        (tensor("UINT8", [0, 32, 32, 3], data=[]), 422, "at least one"),
        (tensor("UINT8", [1, 32, 32, 3]), 422, "binary_data_size"),
        (tensor("UINT8", [1], parameters={"binary_data_size": 9}), 422, "0 bytes follow"),
        (tensor("BYTES", [2], data=["aGVsbG8="]), 422, "2 elements"),
        (tensor("BYTES", [1], data=["%"]), 422, "base64"),
        (tensor("BYTES", [1], data=[7]), 422, "base64"),
        (tensor("BYTES", [1], data=["aGVsbG8="]), 415, "Element 0"),
        ({**GOOD, "outputs": [{"name": "shares"}]}, 422, "probabilities"),
    ],
)
def test_a_request_that_cannot_be_right_is_refused_in_the_protocol_s_own_words(
    client: httpx.Client, request_body: dict[str, Any], status: int, words: str
) -> None:
    reply = client.post(INFER, json=request_body)
    assert reply.status_code == status
    assert words in reply.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "content", "headers", "status"),
    [
        ("POST", INFER, b"{", {}, 422),
        ("POST", INFER, b"{}", {"Inference-Header-Content-Length": "9"}, 422),
        ("POST", INFER, b"{}", {"Inference-Header-Content-Length": "x"}, 422),
        ("POST", INFER, b"abc", {"Inference-Header-Content-Length": "0"}, 422),
        ("POST", INFER, b"abc", {"Content-Encoding": "gzip"}, 422),
        ("POST", INFER, gzip.compress(b"{}")[:-3], {"Content-Encoding": "gzip"}, 422),
        ("POST", INFER, gzip.compress(bytes(65 << 20)), {"Content-Encoding": "gzip"}, 413),
        ("POST", INFER, b"abc", {"Content-Encoding": "br"}, 422),
        ("POST", "/v2/models/plants/infer", json.dumps(GOOD).encode(), {}, 404),
        ("POST", "/v2/models/animals/versions/2/infer", json.dumps(GOOD).encode(), {}, 404),
        ("GET", "/v2/models/plants", b"", {}, 404),
        ("GET", "/v2/models/plants/ready", b"", {}, 404),
        ("POST", "/v2/repository/models/plants/load", b"", {}, 404),
        ("POST", "/v2/repository/models/plants/unload", b"", {}, 404),
        ("POST", "/v2/repository/index", b"[]", {}, 422),
        ("GET", "/v2/nothing/here", b"", {}, 404),
    ],
)
def test_every_failure_is_an_object_with_an_error(  # noqa: PLR0917
    client: httpx.Client,
    method: str,
    path: str,
    content: bytes,
    headers: dict[str, str],
    status: int,
) -> None:
    reply = client.request(method, path, content=content, headers=headers)
    assert reply.status_code == status, reply.text
    assert reply.json()["error"]


def test_a_body_over_the_limit_is_refused_with_an_error(client: httpx.Client) -> None:
    reply = client.post(INFER, content=bytes((64 << 20) + 1))
    assert reply.status_code == 413
    assert reply.json()["error"]


def test_the_server_and_its_models_describe_themselves(client: httpx.Client) -> None:
    assert client.get("/v2").json()["name"] == "tenfold"
    assert client.get("/v2/health/live").status_code == 200
    assert client.get("/v2/health/ready").status_code == 200
    metadata = client.get("/v2/models/animals").json()
    assert metadata["versions"] == ["1"]
    assert metadata == client.get("/v2/models/animals/versions/1").json()
    assert client.get("/v2/models/animals/versions/1/ready").json()["ready"] is True


def test_an_unloaded_model_is_not_ready_until_it_is_loaded_or_used(client: httpx.Client) -> None:
    def read_state() -> str:
        return str(client.post("/v2/repository/index").json()[0]["state"])

    for bring_back in ("/v2/repository/models/animals/load", INFER):
        assert client.post("/v2/repository/models/animals/unload").status_code == 200
        assert client.get("/v2/models/animals/ready").status_code == 503
        assert read_state() == "UNAVAILABLE"
        assert client.post("/v2/repository/index", json={"ready": True}).json() == []
        assert client.post(bring_back, json=GOOD).status_code == 200
        assert client.get("/v2/models/animals/ready").status_code == 200
        assert read_state() == "READY"


@pytest.mark.skipif(
    CLIENT_PYTHON is None, reason="TENFOLD_TEST_TRITON_PYTHON names no Python with tritonclient"
)
def test_the_published_client_works_unchanged(tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "data")
    publish(settings, "animals")
    np.save(tmp_path / "pixels.npy", PICTURES)
    for place, pixels in enumerate(PICTURES):
        (tmp_path / f"{place}.png").write_bytes(encode(pixels))
    script = Path(__file__).with_name("triton_client_session.py")
    with serve(settings) as client:
        address = f"{client.base_url.host}:{client.base_url.port}"
        subprocess.run([str(CLIENT_PYTHON), str(script), address, str(tmp_path)], check=True)
