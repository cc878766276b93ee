"""Pictures to classify: bytes, files, folders, and such as are none."""

import asyncio
import io
from pathlib import Path

import pytest
from PIL import Image

from client import AsyncTenfold, InvalidRequestError, Job, NotFoundError, Tenfold
from client.pictures import PICTURES_PER_REQUEST
from tests.client.conftest import TRAINED_MODEL
from tests.client.unreliable_proxy import UnreliableProxy

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("trained_job")]


def test_bytes_and_file_get_the_same_prediction(
    client: Tenfold, trained_job: Job, picture: bytes, tmp_path: Path
) -> None:
    (tmp_path / "arrow.png").write_bytes(picture)
    by_bytes = client.predict(picture)
    assert client.predict(tmp_path / "arrow.png") == by_bytes
    (expected, *_) = trained_job.list_predictions()
    by_version = client.predict(picture, model=f"{TRAINED_MODEL}@1", top_k=10)
    assert by_version.class_name == expected.predicted
    assert sum(rank.probability for rank in by_version.top_k) == pytest.approx(1, abs=1e-4)


def test_what_is_no_picture_is_refused(client: Tenfold) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        client.predict(b"certainly not a picture")
    assert caught.value.code == "not_an_image"
    with pytest.raises(NotFoundError):
        client.predict(b"", model="no-such-model")


def test_a_folder_is_classified_in_order_over_several_requests(
    proxy: UnreliableProxy, picture: bytes, tmp_path: Path
) -> None:
    count = PICTURES_PER_REQUEST + 3
    (tmp_path / "deeper").mkdir()
    for number in range(count):
        folder = tmp_path / "deeper" if number % 2 else tmp_path
        (folder / f"{number:03}.PNG").write_bytes(picture)
    (tmp_path / "notes.txt").write_text("no picture")
    with Tenfold(proxy.url) as client:
        results = list(client.predict_many(tmp_path))
    assert [result.source for result in results] == sorted(map(str, tmp_path.rglob("*.PNG")))
    assert all(result.prediction and result.error is None for result in results)
    assert proxy.requests == ["POST /predict"] * 2


def test_a_picture_that_cannot_be_read_fails_alone(client: Tenfold, picture: bytes) -> None:
    good, bad, cut = client.predict_many([picture, b"nothing", picture[: len(picture) // 2]])
    assert good.prediction == client.predict(picture)
    assert bad.prediction is None
    assert bad.error is not None
    assert bad.error.code == "not_an_image"
    assert cut.error is not None
    # Alone in its request, it is answered with a problem; the result has the same form.
    (alone,) = client.predict_many(b"nothing")
    assert alone.error is not None
    assert alone.error.code == bad.error.code


def test_a_large_picture_goes_in_a_request_of_its_own(
    proxy: UnreliableProxy, picture: bytes
) -> None:
    large = io.BytesIO()
    noise = Image.effect_noise((2100, 2100), 100).convert("RGB")
    noise.save(large, "PNG", compress_level=0)
    with Tenfold(proxy.url) as client:
        results = list(client.predict_many([picture, large.getvalue(), picture]))
    assert [result.error for result in results] == [None] * 3
    assert len(proxy.requests) == 3


def test_an_empty_folder_and_a_missing_file_say_so(client: Tenfold, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no picture"):
        list(client.predict_many(tmp_path))
    with pytest.raises(FileNotFoundError, match="does not exist"):
        list(client.predict_many([tmp_path / "missing.png"]))


def test_pictures_are_classified_asynchronously(url: str, client: Tenfold, picture: bytes) -> None:
    async def use() -> None:
        async with AsyncTenfold(url) as asynchronous:
            results = [result async for result in asynchronous.predict_many([picture, picture])]
            assert [result.prediction for result in results] == [client.predict(picture)] * 2

    asyncio.run(use())


def test_an_explanation_is_numbers_and_a_picture(client: Tenfold, picture: bytes) -> None:
    pytest.importorskip("xaitk_saliency", reason="needs the extra `explain`")
    explanation = client.explain(picture)
    assert explanation.class_name == client.predict(picture).class_name
    assert len(explanation.heat_map) == 32
    assert Image.open(io.BytesIO(explanation.image)).format == "PNG"
