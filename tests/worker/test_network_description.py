"""What users read about a network, beside what the lesson says about it."""

import json
import xml.etree.ElementTree as ET

import pytest
import torch

from store.errors import TrainingError
from store.specs import NetworkName
from worker import networks
from worker.network_description import describe

LESSON_SHAPES = {
    "conv1.weight": [6, 3, 5, 5],
    "conv1.bias": [6],
    "conv2.weight": [16, 6, 5, 5],
    "conv2.bias": [16],
    "fc1.weight": [120, 400],
    "fc1.bias": [120],
    "fc2.weight": [84, 120],
    "fc2.bias": [84],
    "fc3.weight": [10, 84],
    "fc3.bias": [10],
}


def test_lenet_has_the_parameters_of_the_lesson() -> None:
    description, _ = describe("lenet")
    shapes = {one["name"]: one["shape"] for one in description["parameters"]}
    assert shapes == LESSON_SHAPES
    assert description["parameter_count"] == 62_006
    assert sum(one["count"] for one in description["parameters"]) == 62_006


def test_the_layers_come_in_order_with_their_output_shapes() -> None:
    description, _ = describe("lenet")
    layers = [(one["name"], one["output_shape"]) for one in description["layers"]]
    assert layers == [
        ("conv1", [6, 28, 28]),
        ("relu", [6, 28, 28]),
        ("pool", [6, 14, 14]),
        ("conv2", [16, 10, 10]),
        ("relu_1", [16, 10, 10]),
        ("pool", [16, 5, 5]),
        ("flatten", [400]),
        ("fc1", [120]),
        ("relu_2", [120]),
        ("fc2", [84]),
        ("relu_3", [84]),
        ("fc3", [10]),
    ]
    assert sum(one["parameter_count"] for one in description["layers"]) == 62_006


def test_the_module_is_printed() -> None:
    description, _ = describe("lenet")
    assert "(conv1): Conv2d(3, 6, kernel_size=(5, 5), stride=(1, 1))" in description["printed"]


def test_the_loss_graph_leads_from_the_loss_to_every_parameter() -> None:
    graph = describe("lenet")[0]["loss_graph"]
    assert graph["nodes"][0]["function"] == "NllLossBackward0"
    parameters = {node["parameter"]: node["shape"] for node in graph["nodes"] if "shape" in node}
    assert parameters == LESSON_SHAPES
    reached = {0}
    for edge in graph["edges"]:
        assert edge["from"] in reached
        reached.add(edge["to"])
    assert reached == {node["id"] for node in graph["nodes"]}


def test_the_chain_of_the_loss_is_the_forward_pass_backwards() -> None:
    graph = describe("lenet")[0]["loss_graph"]
    functions = [node["function"] for node in graph["nodes"] if "parameter" not in node]
    order = ["NllLoss", "LogSoftmax", "Addmm", "MaxPool2DWithIndices", "Convolution"]
    places = [functions.index(f"{name}Backward0") for name in order]
    assert places == sorted(places)


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_every_network_is_described_in_json(name: NetworkName) -> None:
    description, _ = describe(name)
    assert json.loads(json.dumps(description)) == description
    assert description["summary"]


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_the_picture_shows_every_node_once_and_no_two_overlap(name: NetworkName) -> None:
    description, picture = describe(name)
    root = ET.fromstring(picture)  # noqa: S314 -- it was written above
    space = "{http://www.w3.org/2000/svg}"
    boxes = [
        (float(box.attrib["x"]), float(box.attrib["y"]))
        for box in root.iter(f"{space}rect")
        if box.attrib.get("class") != "page"
    ]
    graph = description["loss_graph"]
    assert len(boxes) == len(set(boxes)) == len(graph["nodes"])
    assert len(list(root.iterfind(f"{space}path"))) == len(graph["edges"])
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    assert all(0 <= x < width and 0 <= y < height for x, y in boxes)


def test_the_picture_has_colours_for_light_and_dark_pages() -> None:
    _, picture = describe("lenet")
    assert "prefers-color-scheme: dark" in picture


@pytest.mark.parametrize("size", [(15, 32), (32, 15), (1, 1)])
def test_images_that_are_too_small_for_lenet_are_refused(size: tuple[int, int]) -> None:
    height, width = size
    with pytest.raises(TrainingError, match=f"16 by 16.*these have {height} by {width}"):
        networks.build("lenet", channels=3, classes=10, height=height, width=width)


@pytest.mark.parametrize("size", [(16, 16), (33, 47), (64, 64)])
def test_lenet_takes_images_of_other_sizes(size: tuple[int, int]) -> None:
    height, width = size
    network = networks.build("lenet", channels=1, classes=3, height=height, width=width)
    assert network(torch.zeros(2, 1, height, width)).shape == (2, 3)
