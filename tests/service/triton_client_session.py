"""What the published client `tritonclient[http]` does with a server; run as a script.

Arguments: the server's host:port, and a folder with `pixels.npy` and the same pictures as PNG.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.http as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

Array = NDArray[Any]


def main(address: str, folder: Path) -> None:
    client = triton.InferenceServerClient(address)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("animals")
    assert client.is_model_ready("animals", "1")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    metadata = client.get_model_metadata("animals")
    assert metadata["inputs"] == [{"name": "images", "datatype": "UINT8", "shape": [-1, 32, 32, 3]}]

    pixels = np.load(folder / "pixels.npy")
    files = np.array([path.read_bytes() for path in sorted(folder.glob("*.png"))], dtype=object)
    answers = [
        ask(client, array, kind, binary=binary, compression=compression)
        for array, kind in ((pixels, "UINT8"), (files, "BYTES"))
        for binary in (True, False)
        for compression in (None, "gzip", "deflate")
        # The client itself refuses to put bytes that are no text into JSON.
        if binary or kind == "UINT8"
    ]
    for answer in answers:
        np.testing.assert_array_equal(answer, answers[0])

    check_classification(client, pixels, answers[0])
    check_everything_by_default(client, pixels)
    check_repository(client)
    check_failure(client)


def make_input(array: Array, kind: str, *, binary: bool) -> triton.InferInput:
    tensor = triton.InferInput("images", list(array.shape), kind)
    tensor.set_data_from_numpy(array, binary_data=binary)
    return tensor


def ask(client: Any, array: Array, kind: str, *, binary: bool, compression: str | None) -> Array:
    result = client.infer(
        "animals",
        [make_input(array, kind, binary=binary)],
        outputs=[triton.InferRequestedOutput("probabilities", binary_data=binary)],
        request_id="mine",
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
    )
    assert result.get_response()["id"] == "mine"
    probabilities: Array = result.as_numpy("probabilities")
    return probabilities


def check_classification(client: Any, pixels: Array, probabilities: Array) -> None:
    tensor = make_input(pixels, "UINT8", binary=True)
    output = triton.InferRequestedOutput("probabilities", class_count=3)
    ranked = client.infer("animals", [tensor], outputs=[output]).as_numpy("probabilities")
    assert ranked.shape == (len(pixels), 3)
    for row, shares in zip(ranked, probabilities, strict=True):
        share, index, _name = row[0].decode().split(":")
        assert int(index) == shares.argmax()
        assert abs(float(share) - shares.max()) < 1e-5


def check_everything_by_default(client: Any, pixels: Array) -> None:
    result = client.infer("animals", [make_input(pixels, "UINT8", binary=True)], model_version="1")
    best = result.as_numpy("probabilities").argmax(axis=1)
    np.testing.assert_array_equal(result.as_numpy("class_index"), best)
    assert len(result.as_numpy("class")) == len(pixels)


def check_repository(client: Any) -> None:
    entry = {"name": "animals", "version": "1", "state": "READY", "reason": ""}
    assert client.get_model_repository_index() == [entry]
    client.unload_model("animals")
    assert not client.is_model_ready("animals")
    client.load_model("animals")
    assert client.is_model_ready("animals")


def check_failure(client: Any) -> None:
    tensor = make_input(np.zeros((1, 8, 8, 3), np.uint8), "UINT8", binary=True)
    try:
        client.infer("animals", [tensor])
    except InferenceServerException as error:
        if "[N, 32, 32, 3]" not in error.message():
            raise
    else:
        raise AssertionError("a wrong shape was accepted")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
