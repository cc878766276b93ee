"""What executes an exported network. One method, so that a faster engine can take its place."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from store.errors import ArtifactError
from store.images import Pixels

# Where one thread needs less for an image, the time goes into HTTP and decoding, and these need the
# other cores more than the network does.
_WORTH_THREADS_SECONDS = 0.0003
_SMALLEST_BATCH_ITEMS = 4
# A batch four times as large must run at least this many times as many images per second: larger
# ones make everybody wait longer, and fewer of them are full.
_WORTH_FACTOR = 1.05
_REPEATS = 3


class Engine(Protocol):
    """A network with its normalisation and softmax inside. Safe to call from several threads."""

    def run(self, images: Pixels) -> NDArray[np.float32]:
        """Return probabilities (N, classes) of `images` (N, H, W, C), uint8."""


class OnnxEngine:
    """ONNX Runtime: on the GPU where its build and the machine have one, else on the CPU."""

    def __init__(self, model: bytes, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that spin while they wait take the processor from decoding and from training.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = choose_providers(onnxruntime.get_available_providers())
        self._session = onnxruntime.InferenceSession(model, options, providers=providers)

    def run(self, images: Pixels) -> NDArray[np.float32]:
        probabilities: NDArray[np.float32]
        (probabilities,) = self._session.run(["probabilities"], {"images": images})
        return probabilities


def choose_providers(available: Sequence[str]) -> list[str]:
    """Return CUDA with the CPU behind it where the installed ONNX Runtime offers CUDA."""
    return [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in available]


@dataclass(frozen=True)
class TunedEngine:
    """An engine that is warm, and how it was measured to run best on this machine."""

    engine: Engine
    threads: int
    batch_items: int
    batch_seconds: float

    @property
    def seconds_per_item(self) -> float:
        return self.batch_seconds / self.batch_items


def load_engine(model: bytes, shape: tuple[int, int, int], max_batch_items: int) -> TunedEngine:
    """Return the engine with the threads and the size of batches that run most images per second.

    `shape` is the (H, W, C) of one image. Raises ArtifactError where the bytes are no network
    that ONNX Runtime can run on such images.
    """
    try:
        return _choose_engine(model, np.zeros((max_batch_items, *shape), dtype=np.uint8))
    except Exception as error:
        raise ArtifactError(
            f"The network cannot be loaded ({error}): restore it from a backup, or train again."
        ) from error


def _choose_engine(model: bytes, images: Pixels) -> TunedEngine:
    """Try one thread and all cores: small networks lose by a second thread, large ones gain."""
    single = _tune(OnnxEngine(model, threads=1), 1, images)
    cores = len(os.sched_getaffinity(0))
    if cores == 1 or single.seconds_per_item < _WORTH_THREADS_SECONDS:
        return single
    parallel = _tune(OnnxEngine(model, threads=cores), cores, images)
    return min(single, parallel, key=lambda tuned: tuned.seconds_per_item)


def _tune(engine: Engine, threads: int, images: Pixels) -> TunedEngine:
    """Try batches of growing size, up to all `images`, until they are hardly faster."""
    engine.run(images[:1])
    most = len(images)
    items = min(_SMALLEST_BATCH_ITEMS, most)
    best = TunedEngine(engine, threads, items, _measure_warm(engine, images[:items]))
    while items < most:
        items = min(4 * items, most)
        larger = TunedEngine(engine, threads, items, _measure_warm(engine, images[:items]))
        if best.seconds_per_item < _WORTH_FACTOR * larger.seconds_per_item:
            break
        best = larger
    return best


def _measure_warm(engine: Engine, images: Pixels) -> float:
    """Return the fewest seconds of a few runs, after one that only allocates."""
    engine.run(images)
    return min(_time_run(engine, images) for _ in range(_REPEATS))


def _time_run(engine: Engine, images: Pixels) -> float:
    started_at = perf_counter()
    engine.run(images)
    return perf_counter() - started_at
