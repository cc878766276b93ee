"""Begin with the weights of a published model instead of random ones."""

import torch
from torch import Tensor

from store.errors import TrainingError
from store.specs import TrainingSpec
from worker.networks.image_network import ImageNetwork


@torch.no_grad()
def load(network: ImageNetwork, weights: dict[str, Tensor], spec: TrainingSpec) -> None:
    """Copy into `network` each of `weights` that has its name and shape.

    A layer of another shape, such as the scores of other classes, keeps its fresh weights.
    Raises TrainingError where nothing fits: the model is of another network.
    """
    own = network.state_dict()
    fitting = {
        name: tensor
        for name, tensor in weights.items()
        if name in own and own[name].shape == tensor.shape
    }
    if set(weights) != set(own) or not fitting:
        raise TrainingError(
            f"model {spec.init_from} is not a {spec.network}, so its weights cannot be taken "
            "over: set network to the model's own"
        )
    network.load_state_dict(fitting, strict=False)
