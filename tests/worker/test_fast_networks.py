"""The whitened networks: what their first layer does, and which images they take."""

import pytest
import torch
from torch import Tensor

from store.errors import TrainingError
from store.packed import PackedDataset
from store.specs import NetworkName, TrainingSpec
from worker import networks
from worker.batches import load_split, normalise
from worker.networks.layers import Convolution, Whitening

FAST: list[NetworkName] = ["whitened_small", "whitened_medium", "whitened_residual"]


def images_of(dataset: PackedDataset) -> Tensor:
    return normalise(load_split(dataset, "train", "rgb", torch.device("cpu")).images)


def test_whitened_patches_are_uncorrelated_and_of_unit_variance(few_shapes: PackedDataset) -> None:
    images = images_of(few_shapes)
    whitening = Whitening(3)
    whitening.initialise_from(images)
    maps = whitening(images).detach()  # (N, 24, 31, 31)
    values = maps.permute(0, 2, 3, 1).flatten(0, 2)
    half = values[:, :12]
    assert torch.allclose(values[:, 12:], -half, atol=1e-4)
    products = half.T @ half / len(half)
    off_diagonal = products - products.diagonal().diag()
    assert off_diagonal.abs().max() < 0.02
    # Directions that hardly vary in these drawn images stay below 1 by design.
    assert products.diagonal().max() < 1.01
    assert products.diagonal()[-1] > 0.99


def test_training_moves_the_bias_of_the_whitening_and_not_its_filters() -> None:
    whitening = Whitening(3)
    whitening.initialise_from(torch.randn(4, 3, 8, 8))
    whitening(torch.randn(4, 3, 8, 8)).square().sum().backward()
    assert whitening.weight.grad is None
    assert whitening.bias is not None
    assert whitening.bias.grad is not None


def test_a_fresh_convolution_passes_its_input_through() -> None:
    images = torch.randn(2, 6, 5, 5)
    assert torch.equal(Convolution(6, 10)(images)[:, :6], images)


@pytest.mark.parametrize("name", FAST)
@pytest.mark.parametrize(("channels", "height", "width"), [(3, 32, 32), (1, 12, 17), (3, 48, 40)])
def test_a_fast_network_takes_images_of_any_size(
    name: NetworkName, channels: int, height: int, width: int
) -> None:
    network = networks.build(name, channels=channels, classes=7, height=height, width=width)
    images = torch.randn(3, channels, height, width)
    network.initialise_from(images)
    assert network(images).shape == (3, 7)
    # Also of another size than it was built for: the images grow while it is trained.
    assert network(torch.randn(2, channels, 16, 16)).shape == (2, 7)


@pytest.mark.parametrize("name", FAST)
def test_images_below_the_smallest_side_are_refused(name: NetworkName) -> None:
    with pytest.raises(TrainingError, match="12 by 12"):
        networks.build(name, channels=3, classes=2, height=11, width=30)


@pytest.mark.parametrize("name", FAST)
def test_an_untrained_network_prefers_no_class(name: NetworkName) -> None:
    network = networks.build(name, channels=3, classes=10, height=16, width=16)
    images = torch.randn(20, 3, 16, 16)
    network.initialise_from(images)
    assert network(images).softmax(1).max() < 0.2


def test_equal_seeds_give_equal_weights(few_shapes: PackedDataset) -> None:
    def build(seed: int) -> Tensor:
        spec = TrainingSpec(dataset="shapes", network="whitened_small", seed=seed)
        network = networks.build_for(spec, few_shapes)
        return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])

    assert torch.equal(build(5), build(5))
    assert not torch.equal(build(5), build(6))
