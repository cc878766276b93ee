"""`/networks`, `/recipes` and `/workers` over HTTP."""

from typing import Any

import httpx
import pytest

from store.specs import RECIPES
from tests.service.stand_in_worker import StandInWorker

SVG = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
GRAPH: dict[str, Any] = {
    "nodes": [
        {"id": 0, "function": "NllLossBackward0"},
        {"id": 1, "function": "AccumulateGrad", "parameter": "conv1.bias", "shape": [6]},
    ],
    "edges": [{"from": 0, "to": 1}],
}
NETWORK: dict[str, Any] = {
    "summary": "A small network.",
    "input_shape": [3, 32, 32],
    "classes": 10,
    "smallest_side": 16,
    "parameter_count": 456,
    "layers": [
        {
            "name": "conv1",
            "operation": "Conv2d(3, 6)",
            "output_shape": [6, 28, 28],
            "parameter_count": 456,
        }
    ],
    "parameters": [{"name": "conv1.bias", "shape": [6], "count": 6}],
    "printed": "LeNet()",
}


@pytest.fixture(autouse=True)
def lenet(worker: StandInWorker) -> None:
    worker.describe_network("lenet", SVG, **NETWORK, loss_graph=GRAPH)


def test_a_network_is_described_layer_by_layer(client: httpx.Client) -> None:
    assert client.get("/networks/lenet").json() == {"name": "lenet", **NETWORK}
    (summary,) = client.get("/networks").json()["items"]
    assert (summary["name"], summary["parameter_count"]) == ("lenet", 456)


def test_the_loss_graph_is_served_as_json(client: httpx.Client) -> None:
    graph = client.get("/networks/lenet/graph").json()
    assert graph["edges"] == GRAPH["edges"]
    assert graph["nodes"][1] == GRAPH["nodes"][1]
    assert graph["nodes"][0]["function"] == "NllLossBackward0"


def test_the_picture_of_the_graph_can_run_no_script(client: httpx.Client) -> None:
    reply = client.get("/networks/lenet/graph.svg")
    assert reply.text == SVG
    assert reply.headers["Content-Type"] == "image/svg+xml"
    policy = reply.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert reply.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["", "/graph", "/graph.svg"])
def test_an_unknown_network_is_not_found(client: httpx.Client, path: str) -> None:
    problem = client.get(f"/networks/resnet{path}").json()
    assert (problem["status"], problem["code"]) == (404, "network_not_found")
    assert "lenet" in problem["detail"]


def test_recipes_are_those_that_jobs_accept(client: httpx.Client) -> None:
    names = [item["name"] for item in client.get("/recipes").json()["items"]]
    assert names == list(RECIPES)
    for name in names:
        recipe = client.get(f"/recipes/{name}").json()
        assert client.post("/jobs", json={"recipe": name}).json()["spec"] == recipe["spec"]
    assert client.get("/recipes/nope").json()["code"] == "recipe_not_found"


def test_only_living_workers_are_listed(client: httpx.Client, worker: StandInWorker) -> None:
    assert client.get("/workers").json()["items"] == []
    worker.register()
    (listed,) = client.get("/workers").json()["items"]
    assert (listed["id"], listed["device"]) == (worker.id, "cpu")
    worker.retire()
    assert client.get("/workers").json()["items"] == []
