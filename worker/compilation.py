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

# Programs of one network that a process keeps: one for each shape of batches that its jobs had.
# Past PyTorch's own limit of 8 they would run uncompiled, and images that grow have 5 already.
_KEPT_PROGRAMS = 64


def compile_network(network: nn.Module, mode: Compilation) -> nn.Module:
    """Return a compiled form of `network` that shares its weights, or `network` itself.

    Programs are made at the first step of each shape of batches and kept as long as the process
    lives; another network of the same kind finds them.
    """
    if mode == "off":
        return network
    torch._dynamo.config.recompile_limit = _KEPT_PROGRAMS  # noqa: SLF001 -- the documented place
    return cast("nn.Module", torch.compile(network, mode=_MODES[mode], dynamic=False))
