"""Charts for slides, drawn by matplotlib: the curves of a job, and its confusion matrix.

Loaded when the first chart is asked for: the library takes half a second and 30 MB.
"""

import io
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from service.pictures import PictureFormat
from store.evaluations import EvaluationReport
from store.tables import EpochMetric, StepMetric

# Okabe and Ito (2008): told apart with every kind of colour vision.
# https://jfly.uni-koeln.de/color/
_TRAINING = "#0072B2"
_TEST = "#D55E00"
_RUNNING = "#8C8C8C"
_DOTS_AN_INCH = 150
# The keys of matplotlib's settings are a type of hundreds of literals.
_STYLE: dict[Any, Any] = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 12,
    "grid.color": "#DDDDDD",
    "legend.frameon": False,
    # Text stays text: it can be edited on a slide, and found.
    "svg.fonttype": "none",
    # The same chart has the same bytes.
    "svg.hashsalt": "tenfold",
    # A class may be called `$5`.
    "text.parse_math": False,
}
# A curve has no more points than can be seen.
_MOST_POINTS = 1000
# From here on a cell holds a colour only, and not every class is named on the axes.
_NUMBERED_CLASSES = 20
_NAMED_CLASSES = 60
_LONGEST_NAME = 24
_DARK_SHARE = 0.55

# matplotlib is not thread-safe, and its settings are the process's.
# https://matplotlib.org/stable/users/faq.html#work-with-threads
_lock = Lock()


@dataclass(frozen=True)
class Curves:
    """What is drawn of a job: its metrics, oldest first, and how it is called."""

    title: str
    steps: Sequence[StepMetric]
    epochs: Sequence[EpochMetric]

    @property
    def steps_per_epoch(self) -> float | None:
        """None until an epoch has ended."""
        return self.epochs[-1].step / self.epochs[-1].epoch if self.epochs else None


def draw_curves(curves: Curves, picture_format: PictureFormat, *, is_log: bool) -> bytes:
    """Return loss and accuracy over the training, side by side, as the bytes of a file."""
    with _drawing((12, 4.6)) as figure:
        figure.suptitle(_clean(curves.title))
        loss, accuracy = figure.subplots(1, 2)
        _draw_losses(loss, curves, is_log=is_log)
        _draw_accuracies(accuracy, curves)
        return _encode(figure, picture_format)


def draw_confusion_matrix(
    title: str, report: EvaluationReport, picture_format: PictureFormat
) -> bytes:
    """Return the matrix, a row a true class, coloured by its share of the row."""
    names = [_clean(row.name) for row in report.classes]
    side = min(16.0, 3.5 + 0.5 * len(names))
    with _drawing((side + 1.8, side)) as figure:
        axes = figure.subplots()
        axes.set_title(f"{_clean(title)}: {report.accuracy:.1%} of {report.images:,} images right")
        _draw_cells(axes, report.confusion_matrix)
        _name_classes(axes, names)
        return _encode(figure, picture_format)


def _draw_losses(axes: Axes, curves: Curves, *, is_log: bool) -> None:
    scale = curves.steps_per_epoch or 1.0
    steps = _thin([(row.step / scale, row.loss) for row in curves.steps])
    if steps:
        axes.plot(*zip(*steps, strict=True), color=_RUNNING, linewidth=1, label="Running")
    epochs = curves.epochs
    _draw_epochs(axes, [(row.epoch, row.train_loss, row.test_loss) for row in epochs])
    axes.set(title="Loss", xlabel=_name_axis(curves), ylabel="Mean loss of an image")
    if is_log:
        axes.set_yscale("log")
    _finish(axes, has_lines=bool(steps or epochs))


def _draw_accuracies(axes: Axes, curves: Curves) -> None:
    epochs = [(row.epoch, row.train_accuracy, row.test_accuracy) for row in curves.epochs]
    _draw_epochs(axes, epochs)
    axes.set(title="Accuracy", xlabel=_name_axis(curves), ylabel="Images classified rightly")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    _finish(axes, has_lines=bool(epochs))


def _draw_epochs(axes: Axes, rows: Sequence[tuple[float, float, float]]) -> None:
    if not rows:
        return
    numbers, training, test = zip(*rows, strict=True)
    # Markers differ too: the lines are told apart in print.
    axes.plot(numbers, training, color=_TRAINING, marker="o", markersize=4, label="Training images")
    axes.plot(numbers, test, color=_TEST, marker="s", markersize=4, label="Test images")


def _name_axis(curves: Curves) -> str:
    return "Step" if curves.steps_per_epoch is None else "Epoch"


def _finish(axes: Axes, *, has_lines: bool) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    if has_lines:
        axes.legend()
    else:
        axes.text(
            *(0.5, 0.5), "No figures yet", transform=axes.transAxes, ha="center", color=_RUNNING
        )


def _thin(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return means of neighbours, at most `_MOST_POINTS` of them."""
    size = math.ceil(len(points) / _MOST_POINTS)
    chunks = [points[start : start + size] for start in range(0, len(points), size or 1)]
    return [(chunk[-1][0], sum(y for _, y in chunk) / len(chunk)) for chunk in chunks]


def _draw_cells(axes: Axes, matrix: list[list[int]]) -> None:
    shares = [[count / (sum(row) or 1) for count in row] for row in matrix]
    mesh = axes.pcolormesh(
        shares,
        cmap="Blues",
        vmin=0,
        vmax=1,
        # Tens of thousands of rectangles would make a heavy file.
        rasterized=len(matrix) > _NAMED_CLASSES,
    )
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.set_aspect("equal")
    bar = axes.figure.colorbar(mesh, ax=axes, format=PercentFormatter(1), shrink=0.8)
    bar.set_label("Share of the true class's images")
    if len(matrix) > _NUMBERED_CLASSES:
        return
    for label, row in enumerate(matrix):
        for predicted, count in enumerate(row):
            color = "white" if shares[label][predicted] > _DARK_SHARE else "black"
            axes.text(
                predicted + 0.5,
                label + 0.5,
                f"{count:,}",
                ha="center",
                va="center",
                color=color,
                fontsize=9,
            )


def _name_classes(axes: Axes, names: list[str]) -> None:
    axes.set(xlabel="Predicted class", ylabel="True class")
    every = math.ceil(len(names) / _NAMED_CLASSES)
    places = range(0, len(names), every)
    ticks = [place + 0.5 for place in places]
    labels = [_shorten(names[place]) for place in places]
    size = 11 if len(names) <= _NUMBERED_CLASSES else 7
    axes.set_xticks(ticks, labels, rotation=45, ha="right", rotation_mode="anchor", fontsize=size)
    axes.set_yticks(ticks, labels, fontsize=size)


def _shorten(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _clean(text: str) -> str:
    """Return the text without what XML cannot hold."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


@contextmanager
def _drawing(size_inches: tuple[float, float]) -> Iterator[Figure]:
    with _lock, mpl.rc_context(_STYLE), warnings.catch_warnings():
        # A name in a script that the font lacks shows as boxes in a PNG, and well in an SVG.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield Figure(figsize=size_inches, layout="constrained")


def _encode(figure: Figure, picture_format: PictureFormat) -> bytes:
    file = io.BytesIO()
    metadata = {"Date": None} if picture_format == "svg" else {}
    figure.savefig(file, format=picture_format, dpi=_DOTS_AN_INCH, metadata=metadata)
    return file.getvalue()
