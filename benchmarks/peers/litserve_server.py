"""LitServe, with batches where `--batch` is more than 1."""

import argparse

import litserve
import torch
from fastapi import Request
from network import build, classify, decode

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
parser.add_argument("--network")
parser.add_argument("--batch", type=int, default=1)


class Api(litserve.LitAPI):
    def setup(self, device: str) -> None:
        torch.set_num_threads(1)
        self.network = build(parser.parse_args().network)

    def decode_request(self, request: Request):  # noqa: ANN201
        return decode(request["file"].file.read())

    def predict(self, images):  # noqa: ANN001, ANN201
        if self.max_batch_size > 1:
            return classify(self.network, list(images))
        return classify(self.network, [images])[0]

    def batch(self, inputs: list) -> list:
        return inputs

    def unbatch(self, output: list) -> list:
        return output

    def encode_response(self, output: dict) -> dict:
        return output


if __name__ == "__main__":
    arguments = parser.parse_args()
    api = Api(max_batch_size=arguments.batch, batch_timeout=0.001, api_path="/multipart")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(port=arguments.port, generate_client_file=False, log_level="warning")
