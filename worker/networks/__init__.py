"""The networks that a job can name, one a file."""

import torch
from torch import nn

from store.errors import TrainingError
from store.packed import PackedDataset
from store.specs import NetworkName, TrainingSpec
from worker.networks.image_network import ImageNetwork
from worker.networks.lenet import LeNet
from worker.networks.whitened import WhitenedMedium, WhitenedSmall
from worker.networks.whitened_residual import WhitenedResidual

NETWORKS: dict[NetworkName, type[ImageNetwork]] = {
    "lenet": LeNet,
    "whitened_small": WhitenedSmall,
    "whitened_medium": WhitenedMedium,
    "whitened_residual": WhitenedResidual,
}


def build(
    name: NetworkName, *, channels: int, classes: int, height: int, width: int
) -> ImageNetwork:
    """Return a freshly initialised network.

    Raises TrainingError where it does not fit the images.
    """
    smallest = NETWORKS[name].smallest_side
    if min(height, width) < smallest:
        raise TrainingError(
            f"{name} needs images of {smallest} by {smallest} pixels or more, these have {height} "
            f"by {width}: use larger images"
        )
    return NETWORKS[name](channels, classes, height, width)


def build_for(spec: TrainingSpec, dataset: PackedDataset) -> ImageNetwork:
    """Return the network of `spec` for the images of `dataset`.

    Its weights depend on the spec's seed alone; no other random state is touched.
    `initialise_from` sets those that depend on the images.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        return build(
            spec.network,
            channels=1 if spec.color == "grey" else dataset.channels,
            classes=len(dataset.classes),
            height=dataset.height,
            width=dataset.width,
        )


def count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
