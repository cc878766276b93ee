"""What in a picture spoke for a class: occlusion, after Zeiler and Fergus (2014).

A grey square slides over the picture, and the network is asked again and again. Where the class
becomes less probable, the covered pixels spoke for it. This needs nothing of the network but its
answers, so it works for every model, on the engine that serves it. The squares and the scores are
those of xaitk-saliency, of the optional extra `explain`.

https://arxiv.org/abs/1311.2901, https://github.com/XAITK/xaitk-saliency
"""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.model_cache import LoadedModel
from service.predictor import Prediction
from store.errors import ConflictError
from store.images import Pixels

HeatMap = NDArray[np.float64]

# A window of a quarter of the picture, moved by a sixteenth: about 250 questions.
_WINDOWS_A_SIDE = 4
_STRIDES_A_SIDE = 16
# Small pictures are enlarged until they can be looked at.
_SHOWN_PIXELS = 256
_SPEAKS_FOR = np.array([220, 40, 30], dtype=np.float64)
_SPEAKS_AGAINST = np.array([30, 80, 220], dtype=np.float64)


@dataclass(frozen=True)
class Occlusions:
    """A picture with a square covered, again and again, and how to score the answers."""

    masks: NDArray[np.bool_]  # (N, H, W), False where covered
    pictures: Pixels  # (N, H, W, C)


def occlude(pixels: Pixels) -> Occlusions:
    """Return the picture (H, W, C) with each square covered in its mean colour.

    Raises ConflictError (`explain_not_installed`) without the extra `explain`.
    """
    library = _import_library()
    height, width, _ = pixels.shape
    window = (max(1, height // _WINDOWS_A_SIDE), max(1, width // _WINDOWS_A_SIDE))
    stride = (max(1, height // _STRIDES_A_SIDE), max(1, width // _STRIDES_A_SIDE))
    masks: NDArray[np.bool_] = library.SlidingWindow(window, stride).perturb(pixels)
    mean = pixels.mean(axis=(0, 1)).round().astype(np.uint8)  # (C,)
    pictures = np.where(masks[..., np.newaxis], pixels, mean)  # (N, H, W, C)
    return Occlusions(masks, pictures)


def score(
    occlusions: Occlusions, reference: Prediction, answers: list[Prediction], class_index: int
) -> HeatMap:
    """Return how much each pixel spoke for the class (H, W), from -1 (against) to 1 (for)."""
    library = _import_library()
    before = np.array([reference.probabilities[class_index]])
    after = np.array([[answer.probabilities[class_index]] for answer in answers])  # (N, 1)
    (heat_map,) = library.OcclusionScoring().generate(before, after, occlusions.masks)
    return np.asarray(heat_map, dtype=np.float64)


async def explain(
    model: LoadedModel, pixels: Pixels, occlusions: Occlusions, deadline_seconds: float
) -> tuple[Prediction, list[Prediction]]:
    """Return the model's answer on the picture, and on each occlusion of it.

    Raises OverloadedError and DeadlineExceededError.
    """
    outcomes = await model.predict([pixels, *occlusions.pictures], deadline_seconds)
    answers = []
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
        answers.append(outcome)
    return answers[0], answers[1:]


def draw(pixels: Pixels, heat_map: HeatMap) -> bytes:
    """Return a PNG of the picture (H, W, C): red where it speaks for the class, blue against."""
    scale = max(1, -(-_SHOWN_PIXELS // max(heat_map.shape)))
    size = (heat_map.shape[1] * scale, heat_map.shape[0] * scale)
    colored = pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2)  # noqa: PLR2004
    picture = np.asarray(Image.fromarray(colored).resize(size, Image.Resampling.NEAREST))
    smooth = Image.fromarray(heat_map.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    heat = np.asarray(smooth)[..., np.newaxis]  # (H, W, 1)
    strongest = np.abs(heat).max() or 1.0
    strength = np.abs(heat) / strongest * 0.65
    tint = np.where(heat > 0, _SPEAKS_FOR, _SPEAKS_AGAINST)
    blended = picture * (1 - strength) + tint * strength
    file = io.BytesIO()
    Image.fromarray(blended.round().astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def _import_library() -> Any:
    try:
        from service import saliency_library  # noqa: PLC0415 -- an optional extra, slow to import
    except ImportError as error:
        raise ConflictError(
            "Heat maps need the optional extra `explain`: pip install 'tenfold[explain]', then "
            "restart the service.",
            code="explain_not_installed",
        ) from error
    return saliency_library
