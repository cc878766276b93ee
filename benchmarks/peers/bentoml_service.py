"""BentoML, one worker; `serve` starts it: python bentoml_service.py --port P --network N."""

import os
import sys

import bentoml
import numpy as np
import torch
from network import build, classify
from PIL.Image import Image


@bentoml.service(workers=1)
class Classifier:
    def __init__(self) -> None:
        torch.set_num_threads(1)
        self.network = build(os.environ["BENCHMARK_NETWORK"])

    @bentoml.api(route="/multipart")
    def multipart(self, file: Image) -> dict:
        return self._classify(file)

    @bentoml.api(route="/raw")
    def raw(self, image: Image, /) -> dict:
        return self._classify(image)

    def _classify(self, image: Image) -> dict:
        return classify(self.network, [np.asarray(image.convert("RGB").resize((32, 32)))])[0]


if __name__ == "__main__":
    port, network = sys.argv[2], sys.argv[4]
    environment = os.environ | {"BENCHMARK_NETWORK": network, "BENTOML_DO_NOT_TRACK": "1"}
    command = [sys.executable, "-m", "bentoml", "serve", "bentoml_service:Classifier"]
    os.execve(sys.executable, [*command, "--port", port, "--host", "127.0.0.1"], environment)  # noqa: S606
