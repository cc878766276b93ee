"""What executes an exported network. One method, so that a faster engine can take its place."""

from dataclasses import dataclass, replace
from time import perf_counter
from typing import Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from store.cores import count_cores
from store.errors import ArtifactError
from store.images import Pixels

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
# Where one thread needs less for an image, the time goes into HTTP and decoding, and these need the
# other cores more than the network does.
_WORTH_THREADS_SECONDS = 0.0003
_SMALLEST_BATCH_ITEMS = 4
# What the service does for a batch beside the network: it forms it, stacks the images and ranks the
# classes. From the rates of the lesson's network in batches of 4 and of 16.
_SERVICE_SECONDS = 0.00005
# A batch four times as large must run at least this many times as many images per second: larger
# ones make everybody wait longer, and fewer of them are full.
_WORTH_FACTOR = 1.15
# Up to this factor a lone image may take longer for every core to run a batch of its own: such
# batches never wait for each other, as the threads of one batch do.
_WORTH_WAITING_FACTOR = 2.0
_REPEATS = 3


class Engine(Protocol):
    """A network with its normalisation and softmax inside. Safe to call from several threads."""

    def run(self, images: Pixels) -> NDArray[np.float32]:
        """Return probabilities (N, classes) of `images` (N, H, W, C), uint8."""


class OnnxEngine:
    """ONNX Runtime on one of its execution providers; what that cannot run, the CPU runs."""

    def __init__(self, model: bytes, threads: int, provider: str = CPU) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that spin while they wait take the processor from decoding and from training.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = list(dict.fromkeys([provider, CPU]))
        self._session = onnxruntime.InferenceSession(model, options, providers=providers)

    @property
    def provider(self) -> str:
        """What runs the network: the CPU where the one that was asked for could not start."""
        name: str = self._session.get_providers()[0]
        return name

    def run(self, images: Pixels) -> NDArray[np.float32]:
        probabilities: NDArray[np.float32]
        (probabilities,) = self._session.run(["probabilities"], {"images": images})
        return probabilities


@dataclass(frozen=True)
class TunedEngine:
    """An engine that is warm, and how it was measured to run best on this machine."""

    engine: Engine
    provider: str
    threads: int
    lone_seconds: float  # of one image by itself
    batch_items: int
    batch_seconds: float
    parallel_batches: int = 1

    @property
    def seconds_per_item(self) -> float:
        return self.batch_seconds / self.batch_items / self.parallel_batches

    @property
    def served_seconds_per_item(self) -> float:
        return self.seconds_per_item + _SERVICE_SECONDS / self.batch_items

    def describe(self) -> str:
        return (
            f"{self.provider}, threads: {self.threads}, images in a batch: {self.batch_items} "
            f"({self.batch_seconds * 1e3:.2f} ms), batches at once: {self.parallel_batches}"
        )


def load_engine(model: bytes, shape: tuple[int, int, int], max_batch_items: int) -> TunedEngine:
    """Return the engine, its threads and the size of batches that run most images per second.

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
    """Measure the CPU, and the GPU where there is one: it loses on small networks."""
    candidates = [_choose_threads(model, images)]
    if CUDA in onnxruntime.get_available_providers():
        # NVIDIA's libraries may be in Python packages, where the system does not look for them.
        onnxruntime.preload_dlls()
        engine = OnnxEngine(model, 1, CUDA)
        if engine.provider == CUDA:
            candidates.append(_tune(engine, 1, images))
    return min(candidates, key=lambda tuned: tuned.seconds_per_item)


def _choose_threads(model: bytes, images: Pixels) -> TunedEngine:
    """Try one thread and all cores: small networks lose by a second thread, large ones gain."""
    single = _tune(OnnxEngine(model, threads=1), 1, images)
    cores = count_cores()
    if cores == 1 or single.seconds_per_item < _WORTH_THREADS_SECONDS:
        return single
    together = _tune(OnnxEngine(model, threads=cores), cores, images)
    if single.lone_seconds < _WORTH_WAITING_FACTOR * together.lone_seconds:
        return replace(single, parallel_batches=cores)
    return min(single, together, key=lambda tuned: tuned.seconds_per_item)


def _tune(engine: OnnxEngine, threads: int, images: Pixels) -> TunedEngine:
    """Try batches of growing size, up to all `images`, until they are hardly faster."""
    lone_seconds = _measure_warm(engine, images[:1])

    def measure(items: int) -> TunedEngine:
        seconds = _measure_warm(engine, images[:items])
        return TunedEngine(engine, engine.provider, threads, lone_seconds, items, seconds)

    most = len(images)
    items = min(_SMALLEST_BATCH_ITEMS, most)
    best = measure(items)
    while items < most:
        items = min(4 * items, most)
        larger = measure(items)
        if best.served_seconds_per_item < _WORTH_FACTOR * larger.served_seconds_per_item:
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
