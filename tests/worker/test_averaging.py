"""The moving average of the weights."""

import torch

from store.packed import PackedDataset
from store.specs import TrainingSpec
from worker import networks
from worker.averaging import build_average
from worker.networks.image_network import ImageNetwork


def make_network(dataset: PackedDataset) -> ImageNetwork:
    return networks.build_for(TrainingSpec(dataset="shapes"), dataset)


def fill(network: ImageNetwork, value: float) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(value)


def test_the_average_follows_the_network_with_its_decay(few_shapes: PackedDataset) -> None:
    network = make_network(few_shapes)
    fill(network, 1.0)
    average = build_average(network, decay=0.75)
    fill(network, 5.0)
    average.update()
    assert all(
        torch.allclose(parameter, torch.full_like(parameter, 0.75 * 1 + 0.25 * 5))
        for parameter in average.network.parameters()
    )


def test_a_decay_of_nought_is_the_network_itself(few_shapes: PackedDataset) -> None:
    network = make_network(few_shapes)
    assert build_average(network, decay=0).network is network


def test_a_restored_average_goes_on_as_the_first_one(few_shapes: PackedDataset) -> None:
    network = make_network(few_shapes)
    first = build_average(network, decay=0.5)
    fill(network, 1.0)
    first.update()
    second = build_average(network, decay=0.5)
    second.restore({name: tensor.clone() for name, tensor in first.state().items()})
    fill(network, 3.0)
    first.update()
    second.update()
    for one, other in zip(first.network.parameters(), second.network.parameters(), strict=True):
        assert torch.equal(one, other)
