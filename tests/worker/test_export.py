"""The artifact: what the web process will run, checked as it will run it."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.numpy import load_file
from torch import Tensor, nn

from store.errors import TrainingError
from store.images import Pixels, to_grey
from store.packed import PackedDataset
from store.specs import TrainingSpec
from worker import export as export_module
from worker.batches import normalise
from worker.export import ExportStoppedError, export
from worker.training import Training

FILES = {"model.onnx", "weights.safetensors", "report.json", "predictions.json", "manifest.json"}


def train(dataset: PackedDataset, **fields: Any) -> Training:
    spec = TrainingSpec(
        **{"dataset": dataset.name, "epochs": 1, "batch_size": 16, "learning_rate": 0.05, **fields}
    )
    training = Training(spec, dataset, torch.device("cpu"))
    for _ in training:
        pass
    return training


def export_trained(training: Training, dataset: PackedDataset, folder: Path) -> dict[str, Any]:
    export(training.network, training.spec, dataset, torch.device("cpu"), folder)
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return manifest


def run_onnx(folder: Path, pixels: Pixels) -> Any:
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    return session.run(["probabilities"], {"images": pixels})[0]


@dataclass(frozen=True)
class Artifact:
    training: Training
    folder: Path
    manifest: dict[str, Any]

    def read_json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())


@pytest.fixture(scope="module")
def artifact(few_shapes: PackedDataset, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    training, folder = train(few_shapes), tmp_path_factory.mktemp("artifact")
    return Artifact(training, folder, export_trained(training, few_shapes, folder))


def check_answers(training: Training, folder: Path, pixels: Pixels) -> None:
    """The exported model gives what the live network gives, at any batch size."""
    with torch.no_grad():
        images = normalise(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()))
        expected = training.network.eval()(images).softmax(1).numpy()
    for batch in (1, 2, 60):
        probabilities = run_onnx(folder, pixels[:batch])
        assert probabilities.dtype == np.float32
        assert probabilities == pytest.approx(expected[:batch], abs=1e-5)


def test_the_exported_model_answers_as_the_network_does(
    artifact: Artifact, few_shapes: PackedDataset
) -> None:
    check_answers(artifact.training, artifact.folder, np.array(few_shapes.images("test")))


def test_a_grey_model_takes_one_channel(few_shapes: PackedDataset, tmp_path: Path) -> None:
    training = train(few_shapes, color="grey")
    manifest = export_trained(training, few_shapes, tmp_path)
    assert (manifest["input"]["channels"], manifest["input"]["color"]) == (1, "grey")
    check_answers(training, tmp_path, to_grey(few_shapes.images("test")))


def test_the_report_equals_a_recomputation_from_the_exported_model(
    artifact: Artifact, few_shapes: PackedDataset
) -> None:
    probabilities = run_onnx(artifact.folder, np.array(few_shapes.images("test")))
    labels = few_shapes.labels("test")
    predictions = artifact.read_json("predictions.json")
    accuracy = np.mean(probabilities.argmax(axis=1) == labels)
    assert artifact.read_json("report.json")["accuracy"] == accuracy
    assert predictions["labels"] == labels.tolist()
    assert predictions["predicted"] == probabilities.argmax(axis=1).tolist()
    assert predictions["confidence"] == pytest.approx(probabilities.max(axis=1), abs=1e-6)


def test_the_manifest_names_every_file_with_its_checksum(artifact: Artifact) -> None:
    assert {path.name for path in artifact.folder.iterdir()} == FILES
    assert set(artifact.manifest["files"]) == FILES - {"manifest.json"}
    for name, about in artifact.manifest["files"].items():
        data = (artifact.folder / name).read_bytes()
        assert about == {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}


def test_the_manifest_says_what_a_client_needs_to_know(
    artifact: Artifact, few_shapes: PackedDataset
) -> None:
    manifest = artifact.manifest
    assert manifest["format_version"] == 1
    assert manifest["dataset"] == {"name": "shapes", "fingerprint": "few"}
    assert manifest["classes"] == list(few_shapes.classes)
    expected = {"height": 32, "width": 32, "color": "rgb", "layout": "NHWC", "dtype": "uint8"}
    assert manifest["input"].items() >= expected.items()
    assert TrainingSpec(**manifest["spec"]) == artifact.training.spec
    assert manifest["metrics"]["accuracy"] == artifact.read_json("report.json")["accuracy"]


def test_the_weights_are_the_networks_own_under_its_own_names(artifact: Artifact) -> None:
    weights = load_file(artifact.folder / "weights.safetensors")
    state = artifact.training.network.state_dict()
    assert set(weights) == set(state)
    assert all(np.array_equal(weights[name], state[name].numpy()) for name in state)


def test_a_data_parallel_wrapper_leaves_no_trace(
    artifact: Artifact, few_shapes: PackedDataset, tmp_path: Path
) -> None:
    wrapped = nn.DataParallel(artifact.training.network)
    export(wrapped, artifact.training.spec, few_shapes, torch.device("cpu"), tmp_path)
    weights = load_file(tmp_path / "weights.safetensors")
    assert set(weights) == set(artifact.training.network.state_dict())


def test_other_image_sizes_and_class_counts_are_exported(
    bright_or_dark: PackedDataset, tmp_path: Path
) -> None:
    manifest = export_trained(train(bright_or_dark), bright_or_dark, tmp_path)
    assert (manifest["input"]["height"], manifest["input"]["width"]) == (16, 20)
    assert run_onnx(tmp_path, np.array(bright_or_dark.images("test")[:3])).shape == (3, 2)


def test_a_model_trained_on_squared_errors_still_gives_probabilities(
    bright_or_dark: PackedDataset, tmp_path: Path
) -> None:
    export_trained(train(bright_or_dark, loss="mean_squared_error"), bright_or_dark, tmp_path)
    probabilities = run_onnx(tmp_path, np.array(bright_or_dark.images("test")))
    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert probabilities.min() >= 0


def test_an_export_that_answers_differently_is_refused(
    bright_or_dark: PackedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = train(bright_or_dark)
    monkeypatch.setattr(export_module, "_TOLERANCE", -1.0)
    with pytest.raises(TrainingError, match="differs from the trained network"):
        export_trained(training, bright_or_dark, tmp_path)
    assert not (tmp_path / "manifest.json").exists()


def test_exporting_is_quiet(
    artifact: Artifact, few_shapes: PackedDataset, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    export_trained(artifact.training, few_shapes, tmp_path)
    assert capfd.readouterr() == ("", "")


def test_a_network_that_gives_no_numbers_is_refused(
    bright_or_dark: PackedDataset, tmp_path: Path
) -> None:
    training = train(bright_or_dark)
    with torch.no_grad():
        next(training.network.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingError, match="differs from the trained network"):
        export_trained(training, bright_or_dark, tmp_path)


def read_precision() -> str:
    return str(torch.backends.cudnn.conv.fp32_precision)  # type: ignore[attr-defined]


class NotesPrecision(nn.Module):
    """A network that notes how exactly a GPU would convolve."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(16 * 20 * 3, 2)
        self.noted: list[str] = []

    def forward(self, images: Tensor) -> Tensor:
        self.noted.append(read_precision())
        return self.layer(images.flatten(1))  # type: ignore[no-any-return]


def test_the_comparison_is_in_full_precision_on_a_gpu_too(
    bright_or_dark: PackedDataset, tmp_path: Path
) -> None:
    """TF32, the default there, differs from ONNX Runtime by more than rounding."""
    network, before = NotesPrecision(), read_precision()
    export(network, TrainingSpec(), bright_or_dark, torch.device("cpu"), tmp_path)
    assert network.noted[-1] == "ieee"
    assert read_precision() == before


def test_a_stop_is_heard_at_every_batch_of_an_export(
    artifact: Artifact, few_shapes: PackedDataset, tmp_path: Path
) -> None:
    training = artifact.training
    asked: list[bool] = []

    def should_stop() -> bool:
        asked.append(len(asked) == 1)
        return asked[-1]

    with pytest.raises(ExportStoppedError):
        export(
            training.network,
            training.spec,
            few_shapes,
            torch.device("cpu"),
            tmp_path,
            should_stop=should_stop,
        )
    assert asked == [False, True]
    assert not (tmp_path / "manifest.json").exists()
