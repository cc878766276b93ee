"""Stop when images that no batch has seen are no longer recognised better."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from worker.reports import Notice


class EarlyStopping:
    """Watches the accuracy on held-out training images and keeps the best weights.

    The test images play no part, so that the test accuracy stays an honest estimate.
    """

    def __init__(self, patience_epochs: int | None) -> None:
        """Wait so many epochs for a better accuracy; None never stops."""
        self._patience_epochs = patience_epochs
        self._best_accuracy = -1.0
        self._best_epoch = 0
        self._best_weights: dict[str, Tensor] = {}
        self._epoch = 0

    @property
    def should_stop(self) -> bool:
        if self._patience_epochs is None:
            return False
        return self._epoch - self._best_epoch >= self._patience_epochs

    def observe(self, epoch: int, accuracy: float, network: nn.Module) -> Iterator[Notice]:
        """Note what `network` reaches on the held-out images after `epoch`, counted from 1."""
        if self._patience_epochs is None:
            return
        self._epoch = epoch
        if accuracy > self._best_accuracy:
            self._best_accuracy, self._best_epoch = accuracy, epoch
            self._best_weights = {name: t.clone() for name, t in network.state_dict().items()}
        yield Notice(
            "validation",
            f"Epoch {epoch}: {accuracy:.2%} of the held-out images are right; the best was "
            f"{self._best_accuracy:.2%} after epoch {self._best_epoch}.",
            {"epoch": epoch, "accuracy": accuracy, "best_epoch": self._best_epoch},
        )

    @torch.no_grad()
    def restore_best(self, network: nn.Module) -> None:
        """Put the best weights so far into `network`."""
        if self._best_weights:
            network.load_state_dict(self._best_weights)

    def state(self) -> tuple[dict[str, Tensor], dict[str, float]]:
        """Return the best weights, and what else `restore` needs."""
        about = {"accuracy": self._best_accuracy, "best_epoch": self._best_epoch}
        return self._best_weights, about | {"epoch": self._epoch}

    def restore(self, weights: dict[str, Tensor], about: dict[str, float]) -> None:
        self._best_weights = weights
        self._best_accuracy = about["accuracy"]
        self._best_epoch, self._epoch = int(about["best_epoch"]), int(about["epoch"])
