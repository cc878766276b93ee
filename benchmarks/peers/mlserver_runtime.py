"""MLServer with a runtime of its own: python mlserver_runtime.py --port P --network N."""

import base64
import json
import os
import socket
import sys
import tempfile
from pathlib import Path

import torch
from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput
from network import build, classify, decode


class Classifier(MLModel):
    async def load(self) -> bool:
        torch.set_num_threads(1)
        self.network = build(os.environ["BENCHMARK_NETWORK"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        data = payload.inputs[0].data.root[0]
        (reply,) = classify(self.network, [decode(base64.b64decode(data))])
        output = ResponseOutput(
            name="class_index", shape=[1], datatype="INT64", data=[reply["class_index"]]
        )
        return InferenceResponse(model_name=self.name, outputs=[output])


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    port, network = int(sys.argv[2]), sys.argv[4]
    folder = Path(tempfile.mkdtemp(prefix="mlserver-"))
    settings = {
        "http_port": port,
        "grpc_port": find_free_port(),
        "metrics_port": find_free_port(),
        "host": "127.0.0.1",
        "parallel_workers": 0,
    }
    model = {"name": "animals", "implementation": "mlserver_runtime.Classifier"}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    here = str(Path(__file__).parent)
    environment = os.environ | {"BENCHMARK_NETWORK": network, "PYTHONPATH": here}
    command = [sys.executable, "-c", "from mlserver.cli import main; main()", "start", str(folder)]
    os.execve(sys.executable, command, environment)  # noqa: S606
