"""`POST /predict` on a real server, with models published into a real database."""

import base64
import gc
import io
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.uploads import Upload
from store.database import Database
from store.images import decode, fit
from store.models import set_alias
from store.settings import Settings
from tests.service.serving import (
    CLASSES,
    build_network,
    encode,
    make_pixels,
    make_settings,
    publish,
    serve,
)

PNG = {"Content-Type": "image/png"}
NETWORK = build_network(seed=1)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = make_settings(tmp_path_factory.mktemp("data"))
    publish(settings, "animals", build_network(seed=2))
    publish(settings, "animals", NETWORK)
    return settings


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[httpx.Client]:
    with serve(settings) as client:
        yield client


def run_offline(images: NDArray[np.uint8], network: bytes = NETWORK) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    probabilities: NDArray[np.float32] = session.run(None, {"images": images})[0]
    return probabilities


def test_a_png_body_gets_the_networks_own_probabilities(client: httpx.Client) -> None:
    pixels = make_pixels(1)
    reply = client.post("/predict", content=encode(pixels), headers=PNG)
    assert reply.status_code == 200, reply.text
    expected = run_offline(pixels[np.newaxis])[0]
    best = int(expected.argmax())
    content = reply.json()
    assert content["model"] == "animals"
    assert content["version"] == 2
    (prediction,) = content["predictions"]
    assert prediction["filename"] is None
    assert prediction["class"] == CLASSES[best]
    assert prediction["class_index"] == best
    assert list(prediction["probabilities"]) == CLASSES
    np.testing.assert_allclose(list(prediction["probabilities"].values()), expected, atol=1e-6)
    assert prediction["probability"] == prediction["probabilities"][CLASSES[best]]
    ranked = [CLASSES[index] for index in np.argsort(-expected)]
    assert [item["class"] for item in prediction["top_k"]] == ranked[:3]


@pytest.mark.parametrize(("asked", "given"), [(1, 1), (7, 7), (1000, 10)])
def test_top_k_ranks_that_many_classes(client: httpx.Client, asked: int, given: int) -> None:
    reply = client.post(
        "/predict", params={"top_k": asked}, content=encode(make_pixels(1)), headers=PNG
    )
    top = reply.json()["predictions"][0]["top_k"]
    assert len(top) == given
    shares = [item["probability"] for item in top]
    assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5", ""])
def test_a_top_k_that_is_no_count_is_refused(client: httpx.Client, value: str) -> None:
    reply = client.post(
        "/predict", params={"top_k": value}, content=encode(make_pixels(1)), headers=PNG
    )
    assert reply.status_code == 422
    assert "top_k" in reply.json()["detail"]


def test_every_file_of_a_form_is_answered_under_its_name_and_in_order(client: httpx.Client) -> None:
    pictures = {f"picture {seed} é.png": make_pixels(seed) for seed in range(5)}
    files = [("file", (name, encode(pixels))) for name, pixels in pictures.items()]
    predictions = client.post("/predict", files=files).json()["predictions"]
    assert [prediction["filename"] for prediction in predictions] == list(pictures)
    expected = run_offline(np.stack(list(pictures.values()))).argmax(axis=1)
    assert [prediction["class_index"] for prediction in predictions] == expected.tolist()


def test_base64_in_json_is_answered_in_order(client: httpx.Client) -> None:
    pictures = [make_pixels(seed) for seed in range(3)]
    images = [base64.b64encode(encode(pixels)).decode() for pixels in pictures]
    predictions = client.post("/predict", json={"images": images}).json()["predictions"]
    expected = run_offline(np.stack(pictures)).argmax(axis=1)
    assert [prediction["class_index"] for prediction in predictions] == expected.tolist()


@pytest.mark.parametrize("said", ["image/png", "image/jpeg", "image/webp"])
@pytest.mark.parametrize("name", ["picture.png", "picture.jpg", "picture.gif", "picture"])
def test_the_bytes_decide_the_format_not_what_is_said_of_them(
    client: httpx.Client, said: str, name: str
) -> None:
    content = encode(make_pixels(4))
    raw = client.post("/predict", content=content, headers={"Content-Type": said})
    form = client.post("/predict", files=[("file", (name, content, said))])
    (expected,) = run_offline(make_pixels(4)[np.newaxis]).argmax(axis=1)
    for reply in (raw, form):
        assert reply.json()["predictions"][0]["class_index"] == expected


def test_one_bad_picture_of_many_fails_alone(client: httpx.Client) -> None:
    good = encode(make_pixels(3))
    files = [
        ("file", ("first.png", good)),
        ("file", ("cut.png", good[: len(good) // 2])),
        ("file", ("notes.txt", b"no picture")),
        ("file", ("last.png", good)),
    ]
    reply = client.post("/predict", files=files)
    assert reply.status_code == 200
    first, cut, notes, last = reply.json()["predictions"]
    assert first["class"] == last["class"]
    assert cut == {
        "filename": "cut.png",
        "error": {"code": "damaged_image", "message": cut["error"]["message"]},
    }
    assert notes["error"]["code"] == "not_an_image"


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"no picture", 415, "not_an_image"),
        (b"", 415, "not_an_image"),
        (encode(make_pixels(1))[:200], 422, "damaged_image"),
        (encode(np.zeros((7100, 7100), np.uint8), compress_level=1), 413, "image_too_large"),
    ],
    ids=["text", "nothing", "cut off", "too many pixels"],
)
def test_a_single_unreadable_picture_is_the_requests_failure(
    client: httpx.Client, content: bytes, status: int, code: str
) -> None:
    reply = client.post("/predict", files={"file": ("mine.png", content)})
    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["code"] == code
    assert "mine.png" in reply.json()["detail"]
    assert client.post("/predict", content=content, headers=PNG).json()["code"] == code


@pytest.mark.parametrize(
    ("headers", "content", "status", "code"),
    [
        ({"Content-Type": "text/plain"}, b"x", 415, "unsupported_media_type"),
        ({"Content-Type": "application/json"}, b"{", 400, "malformed_body"),
        ({"Content-Type": "application/json"}, b"[]", 422, "invalid_request"),
        ({"Content-Type": "application/json"}, b'{"images": []}', 422, "invalid_request"),
        ({"Content-Type": "application/json"}, b'{"images": ["%"]}', 422, "damaged_image"),
        ({"Content-Type": "application/json"}, b'{"images": [7]}', 422, "damaged_image"),
        ({"Content-Type": "multipart/form-data"}, b"x", 400, "malformed_body"),
        ({"Content-Type": "multipart/form-data; boundary=b"}, b"x", 400, "malformed_body"),
        ({"Content-Type": "multipart/form-data; boundary=b"}, b"--b\r\n", 400, "malformed_body"),
        (
            {"Content-Type": "multipart/form-data; boundary=b"},
            b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b--\r\n',
            422,
            "invalid_request",
        ),
    ],
)
def test_a_body_that_holds_no_picture_is_refused(
    client: httpx.Client, headers: dict[str, str], content: bytes, status: int, code: str
) -> None:
    reply = client.post("/predict", headers=headers, content=content)
    assert (reply.status_code, reply.json()["code"]) == (status, code)


def _draw(mode: str) -> Image.Image:
    picture = Image.fromarray(make_pixels(5, 40, 60))
    if mode == "I;16":
        return Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    return picture.convert(mode)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *[("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")],
        *[("JPEG", mode) for mode in ("L", "RGB", "CMYK")],
        *[("WEBP", mode) for mode in ("RGB", "RGBA")],
    ],
)
def test_any_kind_of_picture_is_prepared_as_training_prepares_it(
    client: httpx.Client, kind: str, mode: str
) -> None:
    file = io.BytesIO()
    _draw(mode).save(file, kind)
    reply = client.post("/predict", content=file.getvalue())
    pixels = fit(decode(file.getvalue()), 32, 32, "rgb")
    expected = run_offline(pixels[np.newaxis])[0]
    answered = list(reply.json()["predictions"][0]["probabilities"].values())
    np.testing.assert_allclose(answered, expected, atol=1e-6)


def test_a_large_picture_and_a_small_one_share_a_request(client: httpx.Client) -> None:
    large, small = make_pixels(1, 700, 900), make_pixels(2)
    files = [("file", ("large.png", encode(large))), ("file", ("small.png", encode(small)))]
    predictions = client.post("/predict", files=files).json()["predictions"]
    expected = run_offline(np.stack([fit(Image.fromarray(large), 32, 32, "rgb"), small]))
    assert [p["class_index"] for p in predictions] == expected.argmax(axis=1).tolist()


def test_references_choose_the_model(client: httpx.Client, settings: Settings) -> None:
    database = Database(settings.resolved_database_url)
    with database.writing() as session:
        set_alias(session, "animals", "old", 1)
    database.dispose()

    def ask(reference: str) -> int:
        reply = client.post(
            "/predict", params={"model": reference}, content=encode(make_pixels(1)), headers=PNG
        )
        return int(reply.json()["version"])

    assert [ask(name) for name in ("animals", "animals@1", "animals@2", "animals@old")] == [
        2, 1, 2, 1,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "reference",
    ["plants", "animals@3", "animals@best", "animals@99999999999999999999", "@", "a@b@c"],
)
def test_an_unknown_model_is_not_found(client: httpx.Client, reference: str) -> None:
    reply = client.post(
        "/predict", params={"model": reference}, content=encode(make_pixels(1)), headers=PNG
    )
    assert (reply.status_code, reply.json()["code"]) == (404, "model_not_found")


def test_without_any_model_the_reply_says_what_to_do(tmp_path: Path) -> None:
    with serve(make_settings(tmp_path)) as client:
        reply = client.post("/predict", content=encode(make_pixels(1)), headers=PNG)
    assert (reply.status_code, reply.json()["code"]) == (409, "no_model")
    assert "POST /jobs" in reply.json()["detail"]


def test_a_grey_model_gets_the_luma_of_a_colour_picture(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    network = build_network(height=28, width=20, channels=1)
    publish(settings, "grey", network, height=28, width=20, color="grey")
    pixels = make_pixels(4, 28, 20)
    with serve(settings) as client:
        reply = client.post("/predict", content=encode(pixels), headers=PNG)
    luma = np.asarray(Image.fromarray(pixels).convert("L"))[np.newaxis, ..., np.newaxis]
    expected = run_offline(luma, network)[0]
    answered = list(reply.json()["predictions"][0]["probabilities"].values())
    np.testing.assert_allclose(answered, expected, atol=1e-6)


def test_a_damaged_network_is_reported_and_does_not_end_the_service(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    publish(settings, "animals", b"not a network")
    with serve(settings) as client:
        reply = client.post("/predict", content=encode(make_pixels(1)), headers=PNG)
        assert (reply.status_code, reply.json()["code"]) == (500, "artifact_damaged")
        assert client.get("/health/live").status_code == 200


def test_more_pictures_than_may_wait_are_refused_for_good(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, predict_queue_images=3)
    publish(settings)
    with serve(settings) as client:
        files = [("file", encode(make_pixels(1)))]
        assert client.post("/predict", files=files * 3).status_code == 200
        reply = client.post("/predict", files=files * 4)
    assert (reply.status_code, reply.json()["code"]) == (413, "too_many_images")


def test_hundreds_of_pictures_in_one_form_are_answered_in_order(client: httpx.Client) -> None:
    pictures = [make_pixels(seed) for seed in range(300)]
    files = [("file", encode(pixels)) for pixels in pictures]
    predictions = client.post("/predict", files=files).json()["predictions"]
    expected = run_offline(np.stack(pictures)).argmax(axis=1)
    assert [prediction["class_index"] for prediction in predictions] == expected.tolist()


def test_the_documentation_names_every_way_to_send_a_picture(client: httpx.Client) -> None:
    operation = client.get("/openapi.json").json()["paths"]["/predict"]["post"]
    assert list(operation["requestBody"]["content"]) == [
        "image/png", "image/jpeg", "image/webp", "multipart/form-data", "application/json",
    ]  # fmt: skip
    assert [parameter["name"] for parameter in operation["parameters"]] == ["model", "top_k"]
    assert {"200", "404", "409", "503"} <= set(operation["responses"])


_PREDICT_IN_A_FRESH_PROCESS = """
import sys
from pathlib import Path
from tests.service.serving import encode, make_pixels, make_settings, serve
with serve(make_settings(Path(sys.argv[1]))) as client:
    client.post("/predict", content=encode(make_pixels(1))).raise_for_status()
assert "torch" not in sys.modules, "the serving process imported torch"
"""


def test_the_serving_process_never_imports_torch(settings: Settings) -> None:
    subprocess.run(
        [sys.executable, "-c", _PREDICT_IN_A_FRESH_PROCESS, str(settings.data)],
        check=True,
        cwd=Path(__file__).parents[2],
    )


@pytest.mark.parametrize("content", [encode(make_pixels(1))[:-500], b"no picture"])
def test_what_a_refused_picture_held_goes_without_the_garbage_collector(
    client: httpx.Client, content: bytes
) -> None:
    def count_uploads() -> int:
        # `isinstance` would ask objects of other tests, lazy ones among them, what they are.
        return sum(type(item) is Upload for item in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        for _ in range(5):
            assert client.post("/predict", content=content, headers=PNG).is_client_error
        # The client has its reply before the server is done with the request.
        deadline = time.monotonic() + 10
        while count_uploads() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert count_uploads() == 0
    finally:
        gc.enable()
