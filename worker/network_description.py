"""What `GET /networks/{name}` shows: layers, parameters and the autograd graph of the loss."""

import inspect
from collections import deque
from itertools import count
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from store.specs import NetworkName
from worker import networks
from worker.graph_picture import draw

# The images that the description is made for: CIFAR-10's.
_CHANNELS, _HEIGHT, _WIDTH, _CLASSES = 3, 32, 32, 10


def describe(name: NetworkName) -> tuple[dict[str, Any], str]:
    """Return the description of a network as JSON-ready data, and its loss graph as SVG."""
    network = networks.build(
        name, channels=_CHANNELS, classes=_CLASSES, height=_HEIGHT, width=_WIDTH
    )
    images = torch.zeros(1, _CHANNELS, _HEIGHT, _WIDTH)
    graph = _trace_loss(network, images)
    description = {
        "name": name,
        "summary": (inspect.getdoc(network) or "").split("\n", 1)[0],
        "input_shape": [_CHANNELS, _HEIGHT, _WIDTH],
        "classes": _CLASSES,
        "smallest_side": networks.NETWORKS[name].smallest_side,
        "layers": _describe_layers(network, images),
        "parameter_count": networks.count_parameters(network),
        "parameters": [
            {"name": name, "shape": list(parameter.shape), "count": parameter.numel()}
            for name, parameter in network.named_parameters()
        ],
        "printed": str(network),
        "loss_graph": graph,
    }
    return description, draw(graph, title=f"Autograd graph of the loss of {name}")


def _describe_layers(network: nn.Module, images: Tensor) -> list[dict[str, Any]]:
    """Return every operation of the forward pass in order; shapes without the batch."""
    recorder = _ShapeRecorder(fx.GraphModule(network, _LayerTracer().trace(network)))
    with torch.no_grad():
        recorder.run(images)
    return recorder.layers


class _LayerTracer(fx.Tracer):
    """Takes a module without parts for one layer, also one of our own."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not any(m.children())


class _ShapeRecorder(fx.Interpreter):
    """Runs a traced network and notes what each operation gives."""

    def __init__(self, traced: fx.GraphModule) -> None:
        super().__init__(traced)
        self.layers: list[dict[str, Any]] = []

    def run_node(self, node: fx.Node) -> Any:
        result = super().run_node(node)
        if node.op == "call_module":
            module = self.module.get_submodule(str(node.target))
            self._add(str(node.target), str(module), result, networks.count_parameters(module))
        elif node.op in {"call_function", "call_method"}:
            kind = node.target if isinstance(node.target, str) else node.target.__name__
            self._add(node.name, kind, result, 0)
        return result

    def _add(self, name: str, kind: str, result: Tensor, parameters: int) -> None:
        self.layers.append(
            {
                "name": name,
                "operation": kind,
                "output_shape": list(result.shape[1:]),
                "parameter_count": parameters,
            }
        )


def _trace_loss(network: nn.Module, images: Tensor) -> dict[str, Any]:
    """Return the backward functions (`grad_fn`) of the loss, from it to the parameters."""
    loss = F.cross_entropy(network(images), torch.zeros(len(images), dtype=torch.int64))
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    numbers = count()
    ids: dict[Any, int] = {loss.grad_fn: next(numbers)}
    nodes: list[dict[str, Any]] = []
    edges: list[dict[str, int]] = []
    waiting = deque([loss.grad_fn])
    while waiting:
        function: Any = waiting.popleft()
        node: dict[str, Any] = {"id": ids[function], "function": function.name()}
        variable = getattr(function, "variable", None)
        if variable is not None:
            node |= {"parameter": names[id(variable)], "shape": list(variable.shape)}
        nodes.append(node)
        for following, _ in function.next_functions:
            if following is None:
                continue
            if following not in ids:
                ids[following] = next(numbers)
                waiting.append(following)
            edges.append({"from": ids[function], "to": ids[following]})
    return {"nodes": nodes, "edges": edges}
