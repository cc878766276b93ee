"""`/networks`: how each network is built, as the workers describe it."""

from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from service.context import Context, ContextDependency
from service.openapi import COMMON_PROBLEMS, json_example, problem_responses
from service.parameters import NetworkName
from service.pictures import PICTURE_CONTENT, send_picture
from store import catalogue
from store.tables import Network

router = APIRouter(
    prefix="/networks", tags=["networks"], responses=problem_responses(*COMMON_PROBLEMS)
)
_NOT_FOUND = problem_responses("network_not_found")


class LayerReply(BaseModel):
    """One operation of the forward pass."""

    name: str
    operation: str = Field(description="The layer as PyTorch prints it, or the function's name.")
    output_shape: list[int] = Field(description="Shape of what it gives, without the batch.")
    parameter_count: int = Field(description="Trainable numbers in it.")


class ParameterReply(BaseModel):
    """One tensor of trainable numbers."""

    name: str
    shape: list[int]
    count: int


class GraphNode(BaseModel):
    """A backward function of autograd."""

    id: int
    function: str = Field(description="Name of the `grad_fn`.")
    parameter: str | None = Field(default=None, description="The parameter that it adds up for.")
    shape: list[int] | None = Field(default=None, description="Shape of that parameter.")


class GraphEdge(BaseModel):
    """The gradient flows from one node to the next."""

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    source: int = Field(alias="from")
    target: int = Field(alias="to")


class GraphReply(BaseModel):
    """The autograd graph of the loss; node 0 is the loss."""

    nodes: list[GraphNode]
    edges: list[GraphEdge]


class NetworkSummary(BaseModel):
    """A network, without its layers."""

    name: str
    summary: str
    input_shape: list[int] = Field(description="Channels, height, width of this description.")
    classes: int = Field(description="Outputs of this description.")
    smallest_side: int = Field(description="Images must have this many pixels on each side.")
    parameter_count: int = Field(description="Trainable numbers in all layers.")


class NetworkReply(NetworkSummary):
    """A network, layer by layer."""

    layers: list[LayerReply] = Field(description="In the order of the forward pass.")
    parameters: list[ParameterReply]
    printed: str = Field(description="The module as PyTorch prints it.")


class NetworkList(BaseModel):
    """All networks."""

    items: list[NetworkSummary]


_SUMMARY: dict[str, Any] = {
    "name": "lenet",
    "summary": "The small convolutional network of the classic PyTorch lesson.",
    "input_shape": [3, 32, 32],
    "classes": 10,
    "smallest_side": 16,
    "parameter_count": 62006,
}
_EXAMPLE = _SUMMARY | {
    "layers": [
        {
            "name": "conv1",
            "operation": "Conv2d(3, 6, kernel_size=(5, 5), stride=(1, 1))",
            "output_shape": [6, 28, 28],
            "parameter_count": 456,
        }
    ],
    "parameters": [{"name": "conv1.weight", "shape": [6, 3, 5, 5], "count": 450}],
    "printed": "LeNet(\n  (conv1): Conv2d(3, 6, kernel_size=(5, 5), stride=(1, 1))\n)",
}
_GRAPH_EXAMPLE = {
    "nodes": [
        {"id": 0, "function": "NllLossBackward0", "parameter": None, "shape": None},
        {"id": 1, "function": "AccumulateGrad", "parameter": "conv1.bias", "shape": [6]},
    ],
    "edges": [{"from": 0, "to": 1}],
}


@router.get("", responses={200: json_example({"items": [_SUMMARY]})})
def list_networks(context: ContextDependency) -> NetworkList:
    """List the networks that a job can train."""
    with context.database.reading() as session:
        rows = catalogue.list_networks(session)
    return NetworkList(items=[NetworkSummary.model_validate(row.description) for row in rows])


@router.get("/{network_name}", responses={200: json_example(_EXAMPLE), **_NOT_FOUND})
def get_network(network_name: NetworkName, context: ContextDependency) -> NetworkReply:
    """Return a network: layers with output shapes, parameters, sizes, the printed module."""
    return NetworkReply.model_validate(_get(context, network_name).description)


@router.get("/{network_name}/graph", responses={200: json_example(_GRAPH_EXAMPLE), **_NOT_FOUND})
def get_network_graph(network_name: NetworkName, context: ContextDependency) -> GraphReply:
    """Return the autograd graph of the loss: the chain of `grad_fn` nodes, as JSON."""
    return GraphReply.model_validate(_get(context, network_name).description["loss_graph"])


@router.get(
    "/{network_name}/graph.svg",
    response_class=Response,
    responses={
        200: {
            "description": "The graph as a picture.",
            "content": {"image/svg+xml": PICTURE_CONTENT["image/svg+xml"]},
        },
        **_NOT_FOUND,
    },
)
def get_network_graph_picture(network_name: NetworkName, context: ContextDependency) -> Response:
    """Return the autograd graph of the loss as a picture (SVG)."""
    svg = _get(context, network_name).graph_svg
    return send_picture(svg, "svg")


def _get(context: Context, name: str) -> Network:
    with context.database.reading() as session:
        return catalogue.get_network(session, name)
