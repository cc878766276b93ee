"""Test-time augmentation: the published model averages views, and reports both accuracies."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from store.packed import PackedDataset
from store.specs import TestTimeAugmentation as Kind
from store.specs import TrainingSpec
from worker.batches import normalise
from worker.export import export
from worker.training import Training
from worker.views import ViewAveraging

CPU = torch.device("cpu")


class Recorder(torch.nn.Module):
    """Scores an image by one of its corners and remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.shown.append(images)
        return images[:, 0, 0, :2]


@pytest.mark.parametrize(("kind", "count"), [("none", 1), ("flip", 2), ("flip_shift", 6)])
def test_each_kind_shows_the_network_its_number_of_views(kind: Kind, count: int) -> None:
    network = Recorder()
    ViewAveraging(network, kind)(torch.randn(2, 3, 8, 8))
    assert len(network.shown) == count
    assert all(shown.shape == (2, 3, 8, 8) for shown in network.shown)


def test_the_views_weigh_one_in_all() -> None:
    images = torch.full((2, 3, 8, 8), 5.0)
    for kind in ("flip", "flip_shift"):
        assert torch.equal(ViewAveraging(Recorder(), kind)(images), torch.full((2, 2), 5.0))


def test_an_image_and_its_mirror_image_get_equal_scores(few_shapes: PackedDataset) -> None:
    spec = TrainingSpec(
        dataset="shapes", network="whitened_small", precision="fp32", memory_format="contiguous"
    )
    network = Training(spec, few_shapes, CPU).network.eval()
    images = torch.randn(3, 3, 32, 32)
    averaging = ViewAveraging(network, "flip")
    assert torch.allclose(averaging(images), averaging(images.flip(-1)), atol=1e-5)


def test_the_artifact_averages_and_tells_both_accuracies(
    few_shapes: PackedDataset, tmp_path: Path
) -> None:
    spec = TrainingSpec(
        dataset="shapes", epochs=1, batch_size=20, precision="fp32", memory_format="contiguous"
    )
    spec = spec.model_copy(
        update={
            "network": "whitened_small",
            "optimizer": "muon",
            "learning_rate": 0.1,
            "test_time_augmentation": "flip_shift",
        }
    )
    training = Training(spec, few_shapes, CPU)
    list(training)
    export(training.result, spec, few_shapes, CPU, tmp_path)

    pixels, labels = few_shapes.images("test"), few_shapes.labels("test")
    images = normalise(torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2))
    network = training.result.eval()
    with torch.no_grad():
        averaged = ViewAveraging(network, "flip_shift")(images).softmax(1).numpy()
        single = network(images).argmax(1).numpy()
    served = onnxruntime.InferenceSession(tmp_path / "model.onnx").run(
        None, {"images": np.array(pixels)}
    )[0]
    assert np.abs(served - averaged).max() < 1e-4

    metrics = json.loads((tmp_path / "manifest.json").read_text())["metrics"]
    assert metrics["accuracy"] == pytest.approx((served.argmax(1) == labels).mean())
    assert metrics["single_view_accuracy"] == pytest.approx((single == labels).mean())
