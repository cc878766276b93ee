"""Ray Serve, one replica, batches of up to 32."""

import argparse
import time

import ray
import torch
from network import build, classify, decode
from ray import serve
from starlette.requests import Request

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
parser.add_argument("--network")
arguments = parser.parse_args()


@serve.deployment(max_ongoing_requests=256, ray_actor_options={"num_cpus": 1})
class Classifier:
    def __init__(self, name: str) -> None:
        torch.set_num_threads(1)
        self.network = build(name)

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.001)
    async def classify(self, bodies: list[bytes]) -> list[dict]:
        return classify(self.network, [decode(body) for body in bodies])

    async def __call__(self, request: Request) -> dict:
        return await self.classify(await request.body())


ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR")
serve.start(http_options={"port": arguments.port, "host": "127.0.0.1"})
serve.run(Classifier.bind(arguments.network), route_prefix="/raw")
while True:
    time.sleep(1)
