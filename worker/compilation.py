"""torch.compile, where a spec asks for it."""

from typing import cast

import torch
from torch import nn

from store.specs import Compilation

_MODES: dict[Compilation, str] = {
    "default": "default",
    "reduce_overhead": "reduce-overhead",
    "max_autotune": "max-autotune",
}


def compile_network(network: nn.Module, mode: Compilation) -> nn.Module:
    """Return a compiled form of `network` that shares its weights, or `network` itself.

    Programs are made at the first step of each image size and kept as long as the process lives.
    """
    if mode == "off":
        return network
    return cast("nn.Module", torch.compile(network, mode=_MODES[mode], dynamic=False))
