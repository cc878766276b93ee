"""Training that begins with the weights of another model."""

from typing import Any

import pytest
import torch

from store.errors import TrainingError
from store.packed import PackedDataset
from store.specs import TrainingSpec
from worker.training import Training

CPU = torch.device("cpu")


def make_spec(dataset: PackedDataset, **fields: Any) -> TrainingSpec:
    own = {"dataset": dataset.name, "batch_size": 20, "network": "whitened_small"}
    plain = {"precision": "fp32", "memory_format": "contiguous", "init_from": "parent"}
    return TrainingSpec(**{**own, **plain, **fields})


def test_a_warm_start_takes_every_weight_of_the_model(few_shapes: PackedDataset) -> None:
    parent = Training(make_spec(few_shapes, epochs=1, seed=1), few_shapes, CPU)
    list(parent)
    weights = {name: tensor.clone() for name, tensor in parent.result.state_dict().items()}
    child = Training(make_spec(few_shapes, seed=2), few_shapes, CPU, initial_weights=weights)
    state = child.network.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in weights.items())


def test_other_classes_get_a_fresh_last_layer(
    few_shapes: PackedDataset, bright_or_dark: PackedDataset
) -> None:
    parent = Training(make_spec(few_shapes), few_shapes, CPU)
    weights = {name: tensor.clone() for name, tensor in parent.result.state_dict().items()}
    child = Training(make_spec(bright_or_dark), bright_or_dark, CPU, initial_weights=weights)
    state = child.network.state_dict()
    fresh = {name for name in weights if state[name].shape != weights[name].shape}
    assert fresh == {"head.scores.weight"}
    kept = set(weights) - fresh
    assert all(torch.equal(state[name], weights[name]) for name in kept)
    list(child)
    assert child.finished


def test_the_weights_of_another_network_are_refused(few_shapes: PackedDataset) -> None:
    parent = Training(make_spec(few_shapes, network="lenet"), few_shapes, CPU)
    with pytest.raises(TrainingError, match="model parent is not a whitened_small"):
        Training(
            make_spec(few_shapes), few_shapes, CPU, initial_weights=parent.network.state_dict()
        )
