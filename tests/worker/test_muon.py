"""The Muon update, beside what linear algebra says it should be."""

import pytest
import torch
from torch import nn

from worker.muon import Muon, orthogonalise


@pytest.mark.parametrize("shape", [(16, 40), (40, 16), (24, 24)])
def test_an_orthogonalised_matrix_has_singular_values_near_one(shape: tuple[int, int]) -> None:
    random = torch.Generator().manual_seed(0)
    left, _, right = torch.linalg.svd(torch.randn(shape, generator=random), full_matrices=False)
    values = torch.linspace(0.3, 1, min(shape))
    result = orthogonalise(left @ values.diag() @ right)
    spread = torch.linalg.svdvals(result)
    assert spread.min() > 0.5
    assert spread.max() < 1.4
    # The singular vectors stay: between them the result is diagonal.
    between = left.T @ result @ right.T
    assert torch.allclose(between, between.diagonal().diag(), atol=1e-4)


def test_a_step_keeps_the_filters_norm_and_moves_against_the_gradient() -> None:
    torch.manual_seed(0)
    filters = nn.Parameter(torch.randn(8, 4, 3, 3) * 7)
    direction = torch.randn_like(filters)
    before = filters.detach() / filters.detach().norm() * 8**0.5
    filters.grad = direction
    Muon([filters], learning_rate=0.1, momentum=0.6).step()
    change = filters.detach() - before
    expected = -0.1 * orthogonalise(direction.flatten(1)).view_as(filters)
    assert torch.allclose(change, expected, atol=1e-5)


def test_momentum_is_nesterovs() -> None:
    filters = nn.Parameter(torch.eye(4).view(4, 4, 1, 1).clone())
    first, second = torch.randn(4, 4, 1, 1), torch.randn(4, 4, 1, 1)
    optimizer = Muon([filters], learning_rate=0.1, momentum=0.5)
    filters.grad = first
    optimizer.step()
    scaled = filters.detach() / filters.detach().norm() * 2
    filters.grad = second
    optimizer.step()
    direction = second + 0.5 * (0.5 * first + second)
    expected = scaled - 0.1 * orthogonalise(direction.flatten(1)).view_as(filters)
    assert torch.allclose(filters.detach(), expected, atol=1e-6)
