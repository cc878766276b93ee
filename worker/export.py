"""A trained network as the artifact that the service loads: ONNX, weights, manifest, report."""

import contextlib
import hashlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from store.errors import TrainingError
from store.evaluations import EvaluationReport
from store.images import Pixels, to_grey
from store.packed import Labels, PackedDataset, Split
from store.specs import TrainingSpec
from worker.batches import MEAN, STANDARD_DEVIATION, normalise
from worker.evaluation import Probabilities, evaluate
from worker.views import ViewAveraging

FORMAT_VERSION = 1

_BATCH_IMAGES = 500
# Two float32 programs that sum in another order differ by about 1e-6; this leaves room.
_TOLERANCE = 1e-4
_SPLIT: Split = "test"


@dataclass(frozen=True)
class Export:
    """An artifact on disk: every file in `folder`, and the manifest that names them."""

    folder: Path
    manifest: dict[str, Any]


class ExportStoppedError(Exception):
    """Somebody asked for the worker; nothing was published."""


class PixelsToProbabilities(nn.Module):
    """What is served: uint8 pixels (N, H, W, C) in, probabilities (N, classes) out.

    The probabilities are the softmax of the network's outputs, whatever the loss was. After
    mean_squared_error the outputs approach one-hot vectors, so the softmax of the best class stays
    below e / (e + classes - 1): the order of the classes is right, the confidence is low.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        outputs = self.network(normalise(images.permute(0, 3, 1, 2)))
        return outputs.float().softmax(dim=1)  # type: ignore[no-any-return]


def export(
    network: nn.Module,
    spec: TrainingSpec,
    dataset: PackedDataset,
    device: torch.device,
    folder: Path,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> Export:
    """Write the artifact of `network` into `folder`, which exists.

    report.json and predictions.json describe what model.onnx answers on the test images, as
    onnxruntime runs it: what is reported is what is served. Raises TrainingError where it does not
    answer what the live network answers, and ExportStoppedError soon after `should_stop`, which is
    asked at every batch, answers yes.
    """
    averaging = ViewAveraging(network, spec.test_time_augmentation)
    live = PixelsToProbabilities(averaging).to(device).eval()
    pixels, labels = _test_examples(spec, dataset)
    _write_onnx(live, pixels, folder / "model.onnx", device)
    save_file(_inner_state(network), folder / "weights.safetensors")

    probabilities = _run_onnx(folder / "model.onnx", _batches(pixels, should_stop))
    _compare(probabilities, _run_live(live, _batches(pixels, should_stop), device))
    report = evaluate(
        probabilities, labels, classes=dataset.classes, dataset=dataset.name, split=_SPLIT
    )
    (folder / "report.json").write_text(report.model_dump_json(indent=2))
    (folder / "predictions.json").write_text(json.dumps(_predictions(probabilities, labels)))

    single_view = _run_live(
        PixelsToProbabilities(network).eval(), _batches(pixels, should_stop), device
    )
    single_view_accuracy = float((single_view.argmax(axis=1) == labels).mean())
    manifest = _describe(
        spec, dataset, pixels, report, folder, single_view_accuracy=single_view_accuracy
    )
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2))
    return Export(folder, manifest)


def _test_examples(spec: TrainingSpec, dataset: PackedDataset) -> tuple[Pixels, Labels]:
    pixels = dataset.images(_SPLIT)
    return (to_grey(pixels) if spec.color == "grey" else pixels), dataset.labels(_SPLIT)


def _inner_state(network: nn.Module) -> dict[str, Tensor]:
    """Return the weights on the CPU under the network's own names."""
    inner = network.module if isinstance(network, nn.DataParallel) else network
    return {name: tensor.detach().cpu().contiguous() for name, tensor in inner.state_dict().items()}


def _write_onnx(live: nn.Module, pixels: Pixels, path: Path, device: torch.device) -> None:
    # Two images: the exporter would take a batch of one for a constant.
    example = torch.from_numpy(pixels[:2].copy()).to(device)
    with _quiet():
        program = torch.onnx.export(
            live,
            (example,),
            dynamo=True,
            input_names=["images"],
            output_names=["probabilities"],
            dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1)}},
            verbose=False,
        )
    if program is None:
        raise TrainingError("torch.onnx made no program: report this, with the job's spec")
    program.save(path)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporter prints and warns about itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _run_onnx(path: Path, batches: Iterable[Pixels]) -> Probabilities:
    """Return the exported model's probabilities for pixels (N, H, W, C) in batches."""
    options = onnxruntime.SessionOptions()
    # Spinning threads would keep slowing down torch, which shares this process.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"images": batch})[0] for batch in batches])


@contextlib.contextmanager
def _full_precision() -> Iterator[None]:
    """Keep CUDA from rounding the inputs of convolutions to TF32, which ONNX Runtime does not."""
    convolutions = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = convolutions.fp32_precision
    convolutions.fp32_precision = "ieee"
    try:
        yield
    finally:
        convolutions.fp32_precision = before


@_full_precision()
@torch.inference_mode()
def _run_live(live: nn.Module, batches: Iterable[Pixels], device: torch.device) -> Probabilities:
    return np.concatenate(
        [live(torch.from_numpy(batch).to(device)).cpu().numpy() for batch in batches]
    )


def _batches(pixels: Pixels, should_stop: Callable[[], bool]) -> Iterator[Pixels]:
    for start in range(0, len(pixels), _BATCH_IMAGES):
        if should_stop():
            raise ExportStoppedError
        # A copy: the pixels are mapped read-only, which torch does not accept.
        yield np.array(pixels[start : start + _BATCH_IMAGES])


def _compare(exported: Probabilities, live: Probabilities) -> None:
    """Check that the exported model answers as the live one, up to rounding and ties."""
    largest = float(np.abs(exported - live).max())
    rows = np.arange(len(live))
    # Where the classes differ, the live network must hold the two for equally probable.
    lost = live.max(axis=1) - live[rows, exported.argmax(axis=1)]
    # Written so that a probability that is no number fails, too.
    if not (largest <= _TOLERANCE and lost.max() <= _TOLERANCE):
        raise TrainingError(
            f"the exported model differs from the trained network by {largest:.2g} (at most "
            f"{_TOLERANCE:g} is rounding): nothing was published; submit the job again, and report "
            "this if it returns"
        )


def _predictions(probabilities: Probabilities, labels: Labels) -> dict[str, Any]:
    return {
        "labels": labels.tolist(),
        "predicted": probabilities.argmax(axis=1).tolist(),
        "confidence": [round(float(value), 6) for value in probabilities.max(axis=1)],
    }


def _describe(
    spec: TrainingSpec,
    dataset: PackedDataset,
    pixels: Pixels,
    report: EvaluationReport,
    folder: Path,
    *,
    single_view_accuracy: float,
) -> dict[str, Any]:
    _, height, width, channels = pixels.shape
    return {
        "format_version": FORMAT_VERSION,
        "dataset": {"name": dataset.name, "fingerprint": dataset.fingerprint},
        "classes": list(dataset.classes),
        "input": {
            "name": "images",
            "height": height,
            "width": width,
            "channels": channels,
            "color": spec.color,
            "layout": "NHWC",
            "dtype": "uint8",
        },
        "output": {"name": "probabilities", "dtype": "float32"},
        "normalisation": {"mean": MEAN, "standard_deviation": STANDARD_DEVIATION, "scale": 255},
        "metrics": {
            "accuracy": report.accuracy,
            # What the network reaches without test-time augmentation.
            "single_view_accuracy": single_view_accuracy,
            "top_3_accuracy": report.top_3_accuracy,
            "mean_loss": report.mean_loss,
            "expected_calibration_error": report.expected_calibration_error,
        },
        "spec": spec.model_dump(),
        "library_versions": {
            "torch": torch.__version__,
            "onnxruntime": onnxruntime.__version__,
            "numpy": np.__version__,
        },
        "files": {
            path.name: {
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "size_bytes": path.stat().st_size,
            }
            for path in sorted(folder.iterdir())
            if path.name != "manifest.json"
        },
    }
