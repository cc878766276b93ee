"""A published model, ready to predict: encoded pictures in, ranked classes out.

This process runs the exported network only. It needs no network code and never imports torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.engines import Engine
from store.errors import ArtifactError, InvalidRequestError
from store.images import LARGEST_PIXEL_COUNT, Color, Pixels, decode, fit

FORMAT_VERSION = 1
# Float32 carries about seven significant digits; more in a reply would be noise.
_DECIMALS = 7

Probabilities = NDArray[np.float32]
# What the network takes of a picture (H, W, C), or why it cannot.
PreparedItem = Pixels | InvalidRequestError
# What can be asked for: an encoded picture, or a prepared one.
Item = bytes | PreparedItem


@dataclass(frozen=True)
class InputShape:
    """What the network takes: `height` x `width` pixels of three colours or one."""

    height: int
    width: int
    color: Color

    @property
    def channels(self) -> int:
        return 1 if self.color == "grey" else 3


class Prediction(NamedTuple):
    """What the network says of one picture."""

    probabilities: list[float]  # (classes,)
    ranking: list[int]  # (classes,) class indices, most probable first


class Predictor:
    """Decodes, runs the engine, and ranks. Safe to call from several threads."""

    def __init__(
        self,
        manifest: dict[str, Any],
        engine: Engine,
        largest_pixel_count: int = LARGEST_PIXEL_COUNT,
    ) -> None:
        """Raises ArtifactError where the manifest is of a format this version does not know."""
        self.manifest = manifest
        self.classes: list[str] = manifest["classes"]
        self.input = read_input_shape(manifest)
        self.engine = engine
        self._largest_pixel_count = largest_pixel_count

    def prepare(self, data: bytes) -> Pixels:
        """Return the picture as the network's input (H, W, C), exactly as training saw its own.

        Raises InvalidRequestError where `data` is no readable picture.
        """
        image = decode(data, self._largest_pixel_count)
        return fit(image, self.input.height, self.input.width, self.input.color)

    def predict(self, items: Sequence[PreparedItem]) -> list[Prediction | Exception]:
        """Return a prediction, or the reason why there is none, for each item in order."""
        pixels = [item for item in items if not isinstance(item, Exception)]
        if not pixels:
            return [item for item in items if isinstance(item, Exception)]
        predictions = iter(rank(self.engine.run(np.stack(pixels))))
        return [item if isinstance(item, Exception) else next(predictions) for item in items]

    def try_prepare(self, item: Item) -> PreparedItem:
        """Return the item as the network's input (H, W, C), or why it cannot be."""
        if not isinstance(item, bytes):
            return item
        try:
            return self.prepare(item)
        except InvalidRequestError as error:
            # They know this call, and what called it knows the error: with a picture in that circle
            # it would take memory until the garbage collector comes by.
            error.__cause__ = error.__context__ = None
            return error.with_traceback(None)


def read_input_shape(manifest: dict[str, Any]) -> InputShape:
    """Raises ArtifactError where the manifest is of a format this version does not know."""
    if manifest.get("format_version") != FORMAT_VERSION:
        raise ArtifactError(
            f"The model has format version {manifest.get('format_version')}, and this "
            f"version of Tenfold reads {FORMAT_VERSION}: upgrade Tenfold, or train again."
        )
    try:
        shape = manifest["input"]
        return InputShape(shape["height"], shape["width"], shape["color"])
    except (KeyError, TypeError) as error:
        raise ArtifactError(
            "The model's manifest does not say what pictures it takes: train it again, or "
            "restore a backup."
        ) from error


def rank(probabilities: Probabilities) -> list[Prediction]:
    """Return each row (classes,) of `probabilities` (N, classes) with its classes in order."""
    ranking = np.argsort(-probabilities, axis=1, kind="stable").tolist()
    rounded = np.round(probabilities.astype(np.float64), _DECIMALS).tolist()
    return [Prediction(*pair) for pair in zip(rounded, ranking, strict=True)]
