"""The engine as it is loaded: measured on this machine, and right whatever was measured."""

import numpy as np
import onnxruntime
import pytest

from service.engines import load_engine
from store.cores import count_cores
from store.errors import ArtifactError
from tests.service.serving import build_network, make_pixels


@pytest.mark.parametrize("most", [1, 3, 6, 64])
def test_the_measured_batch_keeps_to_the_bound_and_the_cores(most: int) -> None:
    tuned = load_engine(build_network(), (32, 32, 3), most)
    assert 1 <= tuned.batch_items <= most
    assert 1 <= tuned.threads <= count_cores()
    assert tuned.batch_seconds > 0


def test_the_chosen_engine_gives_what_the_network_gives() -> None:
    network = build_network()
    images = np.stack([make_pixels(seed) for seed in range(5)])
    expected = onnxruntime.InferenceSession(network).run(None, {"images": images})[0]
    tuned = load_engine(network, (32, 32, 3), 64)
    assert np.abs(tuned.engine.run(images) - expected).max() < 2e-6


def test_bytes_that_are_no_network_are_told_as_a_damaged_artifact() -> None:
    with pytest.raises(ArtifactError, match="restore it from a backup, or train again"):
        load_engine(b"no network", (32, 32, 3), 64)
