"""What runs an exported network fastest on this machine: the engines side by side, in one run.

    python benchmarks/engines.py [--networks small large] [--batches 1 16 64]

PyTorch eager, as a program of torch.export and, on a GPU, as recorded CUDA graphs; ONNX Runtime
with one thread, all cores and, where it offers CUDA, the GPU. Pictures begin and probabilities end
in the memory of the host, as in the service. At last it says what the service would choose.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from peers.network import build
from peers.publish import export_network
from surroundings import describe_surroundings

from service.engines import CUDA, OnnxEngine, load_engine
from store.cores import count_cores
from store.images import Pixels

SEED = 7
# Engines of other arithmetic differ in the last digits of float32, and TF32 in earlier ones.
TOLERANCE = 1e-3
LARGEST_BATCH = 64

Run = Callable[[Pixels], NDArray[np.float32]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--networks", nargs="+", default=["small", "large"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16, LARGEST_BATCH])
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one measurement")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each figure")
    arguments = parser.parse_args()
    for network in arguments.networks:
        measure_network(network, arguments)


def measure_network(network: str, arguments: argparse.Namespace) -> None:
    model = export_network(network)
    engines = dict(list_engines(network, model))
    generator = np.random.default_rng(SEED)
    print(f"\nNetwork `{network}`, pictures of 32x32, images/s (median, least-most)")
    print(f"| engine | {' | '.join(f'batch {size}' for size in arguments.batches)} |")
    print("|---" * (1 + len(arguments.batches)) + "|")
    rates: dict[str, list[str]] = {name: [] for name in engines}
    for size in arguments.batches:
        images = generator.integers(0, 256, (size, 32, 32, 3), dtype=np.uint8)
        found = measure_interleaved(engines, images, arguments)
        for name, values in found.items():
            middle = statistics.median(values)
            rates[name].append(f"{middle:.0f} ({min(values):.0f}-{max(values):.0f})")
    for name, cells in rates.items():
        print(f"| {name} | {' | '.join(cells)} |")
    tuned = load_engine(model, (32, 32, 3), LARGEST_BATCH)
    print(f"The service chooses {tuned.describe()}.")
    print(
        f"n = {arguments.repeats} runs of {arguments.seconds:g} s each, interleaved; weights and "
        f"pictures seeded; {describe_surroundings()}, onnxruntime {onnxruntime.__version__}"
    )


def list_engines(network: str, model: bytes) -> Iterator[tuple[str, Run]]:
    """Yield every engine that this machine can run, by name."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    eager = build(network).to(device)
    example = torch.zeros(2, 32, 32, 3, dtype=torch.uint8, device=device)
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(eager, (example,), dynamic_shapes=({0: batch},))
    yield f"PyTorch eager, {device}", on_torch(eager, device)
    yield f"PyTorch exported program, {device}", on_torch(program.module(), device)
    if device == "cuda":
        graphs = torch.compile(eager, mode="reduce-overhead", dynamic=False)
        yield "PyTorch CUDA graphs", on_torch(graphs, device)
    cores = count_cores()
    for threads in sorted({1, cores}):
        yield f"ONNX Runtime, CPU, {threads} threads", OnnxEngine(model, threads).run
    if CUDA in onnxruntime.get_available_providers():
        onnxruntime.preload_dlls()
        yield "ONNX Runtime, CUDA", OnnxEngine(model, 1, CUDA).run


def on_torch(network: Callable[[torch.Tensor], torch.Tensor], device: str) -> Run:
    @torch.inference_mode()
    def run(images: Pixels) -> NDArray[np.float32]:
        outputs = network(torch.from_numpy(images).to(device))
        probabilities: NDArray[np.float32] = outputs.cpu().numpy()
        return probabilities

    return run


def measure_interleaved(
    engines: dict[str, Run], images: Pixels, arguments: argparse.Namespace
) -> dict[str, list[float]]:
    """Return images per second of each engine, once for each repeat."""
    expected = next(iter(engines.values()))(images)
    for name, run in engines.items():
        difference = float(np.abs(run(images) - expected).max())
        if difference > TOLERANCE:
            raise SystemExit(f"{name} answers otherwise than the first: {difference:.2g}")
    found: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(arguments.repeats):
        for name, run in engines.items():
            found[name].append(measure_rate(run, images, arguments.seconds))
    return found


def measure_rate(run: Run, images: Pixels, seconds: float) -> float:
    run(images)
    started_at, runs = time.perf_counter(), 0
    while time.perf_counter() - started_at < seconds:
        run(images)
        runs += 1
    return runs * len(images) / (time.perf_counter() - started_at)


if __name__ == "__main__":
    main()
