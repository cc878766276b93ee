"""The classic PyTorch lesson as a script: a DataLoader, batches of 4, one image at a time.

It is what a user has before Tenfold, and what the other benchmarks compare with. Usage:
python benchmarks/classic.py FOLDER, where FOLDER has train/<class>/ and test/<class>/.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from surroundings import describe_surroundings
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

_BATCH_SIZE = 4
_WORKERS = 2


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Result:
    seconds: float  # of training; start-up and evaluation left out
    accuracy: float


def train(folder: Path, *, epochs: int = 2, seed: int = 0) -> Result:
    """Run the lesson on the images in `folder` and return its time and test accuracy."""
    torch.manual_seed(seed)
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.001, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    loader = _load(folder / "train", shuffle=True)
    began = time.perf_counter()
    for _ in range(epochs):
        running_loss = 0.0
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = criterion(net(inputs), labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
    seconds = time.perf_counter() - began
    return Result(seconds, _evaluate(net, _load(folder / "test", shuffle=False)))


def _load(folder: Path, *, shuffle: bool) -> DataLoader[tuple[Tensor, Tensor]]:
    normalise = transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    transform = transforms.Compose([transforms.ToTensor(), normalise])
    images = datasets.ImageFolder(folder, transform)
    return DataLoader(images, batch_size=_BATCH_SIZE, shuffle=shuffle, num_workers=_WORKERS)


@torch.no_grad()
def _evaluate(net: nn.Module, loader: DataLoader[tuple[Tensor, Tensor]]) -> float:
    return sum(_count_hits(net, loader)) / len(loader.dataset)  # type: ignore[arg-type]


def _count_hits(net: nn.Module, loader: DataLoader[tuple[Tensor, Tensor]]) -> Iterator[int]:
    for inputs, labels in loader:
        yield int((net(inputs).argmax(1) == labels).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds train/<class>/ and test/<class>/")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    result = train(options.folder, seed=options.seed)
    print(f"{result.seconds:.1f} s, {result.accuracy:.2%}, seed {options.seed}")
    print(describe_surroundings())


if __name__ == "__main__":
    main()
