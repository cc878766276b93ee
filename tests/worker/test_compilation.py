"""Compiled networks: what they compute, and what a worker that stays up keeps."""

import shutil

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

from worker.compilation import compile_network

pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("clang++") is None,
    reason="torch.compile needs a C++ compiler",
)


class Scores(nn.Module):
    """As little as can be compiled: a matrix product needs no code of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Linear(12, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.scores(images.flatten(1))  # type: ignore[no-any-return]


def count_programs() -> int:
    return counters["stats"]["unique_graphs"]


def run(network: nn.Module, images: int) -> None:
    """Run `network` compiled and see that it gives the same scores and gradients."""
    batch = torch.randn(images, 3, 2, 2)
    compiled = compile_network(network, "default")
    scores = [module(batch) for module in (compiled, network)]
    gradients = [
        torch.autograd.grad(one.square().sum(), list(network.parameters())) for one in scores
    ]
    assert torch.allclose(scores[0], scores[1], atol=1e-5)
    for ours, theirs in zip(*gradients, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4)


def test_a_second_job_of_the_same_kind_compiles_nothing() -> None:
    run(Scores(), images=4)
    before = count_programs()
    run(Scores(), images=4)
    assert count_programs() == before
    run(Scores(), images=5)
    assert count_programs() == before + 1


@torch.no_grad()
def test_a_worker_keeps_the_programs_of_many_shapes() -> None:
    """PyTorch keeps eight, and runs what comes after them uncompiled without a word to the user."""
    shapes = [torch.randn(images, 3, 2, 2) for images in range(30, 39)]
    before = count_programs()
    for _ in range(2):
        for batch in shapes:
            compile_network(Scores(), "default")(batch)
        assert count_programs() == before + len(shapes)
