"""The two networks of the serving benchmark, as every peer runs them: eager PyTorch.

`small` is the network of the lesson. `large` has the sizes of airbench94 (64, 256, 256 channels).
Weights are random but seeded, so every process holds the same ones.
"""

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

SEED = 0
CLASSES = 10


class Classifier(nn.Module):
    """uint8 pixels (N, H, W, 3) in, probabilities (N, classes) out."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        scaled = images.permute(0, 3, 1, 2).float() / 255  # (N, 3, H, W)
        return self.network((scaled - 0.5) / 0.5).softmax(dim=1)


def build(name: str) -> nn.Module:
    """Return the network `small` or `large`, ready to predict."""
    torch.manual_seed(SEED)
    network = build_small() if name == "small" else build_large()
    return Classifier(network).eval()


def build_small() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, CLASSES)),
    )


def build_large() -> nn.Module:
    def block(channels_in: int, channels: int) -> list[nn.Module]:
        return [
            nn.Conv2d(channels_in, channels, 3, padding=1, bias=False),
            *(nn.MaxPool2d(2), nn.BatchNorm2d(channels), nn.GELU()),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            *(nn.BatchNorm2d(channels), nn.GELU()),
        ]

    return nn.Sequential(
        *(nn.Conv2d(3, 24, 2), nn.GELU()),
        *(*block(24, 64), *block(64, 256), *block(256, 256)),
        *(nn.MaxPool2d(3), nn.Flatten(), nn.Linear(256, CLASSES)),
    )


def decode(data: bytes) -> np.ndarray:
    """Return the pixels (32, 32, 3) of a file, as anybody would read them."""
    image = Image.open(io.BytesIO(data)).convert("RGB").resize((32, 32))
    return np.asarray(image)


@torch.inference_mode()
def classify(network: nn.Module, images: list[np.ndarray]) -> list[dict]:
    """Return the reply for each picture."""
    probabilities = network(torch.from_numpy(np.stack(images)))  # (N, classes)
    return [
        {"class_index": int(row.argmax()), "probabilities": row.tolist()} for row in probabilities
    ]
