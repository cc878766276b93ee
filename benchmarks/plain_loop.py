"""Recipe `tutorial` beside a plain PyTorch loop on tensors in memory, in turns.

    python benchmarks/plain_loop.py FOLDER [--seeds 0 1 2]

FOLDER holds train/<class>/ and test/<class>/. The loop is what a good engineer writes who has found
the DataLoader to be the bottleneck: the same network, batches and epochs, no library of ours. Each
run has a process of its own and the machine to itself. A time is that of two epochs of training;
start-up, preparation and evaluation are left out on both sides.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from classic import Net, Result
from surroundings import describe_surroundings, load_dataset
from torch import Tensor, nn
from tutorial import run_apart, train

_BATCH_SIZE = 4
_EPOCHS = 2


def train_plainly(data: Path, seed: int) -> Result:
    """Run the lesson's steps on the images of data set `images`, held in memory as floats."""
    torch.manual_seed(seed)
    images, labels = _read(data, "train")
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.001, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    began = time.perf_counter()
    for _ in range(_EPOCHS):
        order = torch.randperm(len(labels))
        for start in range(0, len(labels), _BATCH_SIZE):
            chosen = order[start : start + _BATCH_SIZE]
            optimizer.zero_grad()
            loss = criterion(net(images[chosen]), labels[chosen])
            loss.backward()
            optimizer.step()
    seconds = time.perf_counter() - began
    return Result(seconds, _evaluate(net, *_read(data, "test")))


def _read(data: Path, split: str) -> tuple[Tensor, Tensor]:
    dataset = load_dataset(data, "images")
    pixels = torch.tensor(dataset.images(split)).permute(0, 3, 1, 2)  # (N, C, H, W)
    return pixels.float().div(255).sub(0.5).div(0.5).contiguous(), torch.tensor(
        dataset.labels(split)
    )


@torch.no_grad()
def _evaluate(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    return (net(images).argmax(1) == labels).float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds train/<class>/ and test/<class>/")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    print("seed   plain s   accuracy   tutorial s   accuracy   plain / tutorial", flush=True)
    ratios = []
    with tempfile.TemporaryDirectory(prefix="tenfold-benchmark-") as data:
        link = Path(data) / "datasets" / "images"
        link.parent.mkdir()
        link.symlink_to(options.folder.resolve())
        run_apart(load_dataset, Path(data), "images")
        for seed in options.seeds:
            plain = run_apart(train_plainly, Path(data), seed)
            ours = run_apart(train, Path(data), seed)
            ratios.append(plain.seconds / ours.seconds)
            print(
                f"{seed:4d}   {plain.seconds:7.1f}   {plain.accuracy:8.2%}   "
                f"{ours.seconds:10.1f}   {ours.accuracy:8.2%}   {ratios[-1]:16.2f}",
                flush=True,
            )
    print(f"n = {len(ratios)}; median ratio {statistics.median(ratios):.2f}")
    print(describe_surroundings())


if __name__ == "__main__":
    main()
