"""What a terminal shows while a job trains: events, epochs, a bar, and the loss as a curve."""

from collections.abc import Sequence
from itertools import pairwise
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.text import Text

from client.job_flows import JobUpdate
from client.schemas import EpochMetric, JobRecord, JobStatus, StepMetric

_BARS = "▁▂▃▄▅▆▇█"
_CURVE_WIDTH = 48
_REFRESHES_PER_SECOND = 8


class ProgressDisplay:
    """Draws updates of one job. Without a terminal it writes a line for each piece of news."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[details]}"),
            console=self._console,
        )
        self._task = self._bar.add_task("waiting", total=None, details="")
        self._losses: list[float] = []
        self._accuracy: float | None = None
        self._notice = ""
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._console.is_interactive:
            self._live = Live(
                get_renderable=self._draw,
                console=self._console,
                refresh_per_second=_REFRESHES_PER_SECOND,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, update: JobUpdate) -> None:
        """Show what is new."""
        if update.lost is not None:
            self._tell("The service does not answer; trying again.")
            return
        for event in update.events:
            self._print(f"  {event.message}", style="dim")
        for epoch in update.epochs:
            self._accuracy = epoch.test_accuracy
            self._print(f"  {_describe_epoch(epoch, update.job)}")
        for step in update.steps:
            self._losses.append(step.loss)
            if self._live is None:
                self._print(f"  {_describe_step(step, update.job)}")
        self._tell(_describe_wait(update.job))
        self._move_bar(update)

    def _tell(self, notice: str) -> None:
        if notice and notice != self._notice and self._live is None:
            self._print(f"  {notice}")
        self._notice = notice

    def _print(self, line: str, style: str = "") -> None:
        self._console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)

    def _move_bar(self, update: JobUpdate) -> None:
        job, progress = update.job, update.job.progress
        if progress is None:
            self._bar.update(self._task, description=f"job {job.id} {job.status}")
            return
        # A metric may be newer than the progress that came with the job.
        step = max([progress.step, *(metric.step for metric in update.steps)])
        # After the last step the model is still to be exported, evaluated and written.
        is_trained = step >= progress.steps and not job.status.is_ended
        epoch = f"epoch {progress.epoch} of {progress.epochs}"
        self._bar.update(
            self._task,
            description="publishing the model" if is_trained else epoch,
            total=progress.steps,
            completed=step,
            details=self._describe_pace(job),
        )

    def _describe_pace(self, job: JobRecord) -> str:
        progress = job.progress
        if progress is None:
            return ""
        parts = []
        if self._losses:
            parts.append(f"loss {self._losses[-1]:.3f}")
        if self._accuracy is not None:
            parts.append(f"accuracy {self._accuracy:.1%}")
        if progress.images_per_second is not None:
            parts.append(f"{progress.images_per_second:,.0f} images/s")
        if progress.seconds_left and not job.status.is_ended:
            parts.append(f"{format_seconds(progress.seconds_left)} left")
        return "  ".join(parts)

    def _draw(self) -> RenderableType:
        parts: list[RenderableType] = [self._bar]
        if len(self._losses) > 1:
            parts.append(Text(f"loss {draw_curve(self._losses)} {self._losses[-1]:.3f}"))
        if self._notice:
            parts.append(Text(self._notice, style="yellow"))
        return Group(*parts)


def draw_curve(values: Sequence[float], width: int = _CURVE_WIDTH) -> str:
    """Return the values as bars of eight heights, at most `width` of them: means of neighbours."""
    count = min(width, len(values))
    edges = [round(number * len(values) / count) for number in range(count + 1)]
    means = [sum(values[start:stop]) / (stop - start) for start, stop in pairwise(edges)]
    lowest, highest = min(means), max(means)
    scale = (len(_BARS) - 1) / ((highest - lowest) or 1)
    return "".join(_BARS[round((mean - lowest) * scale)] for mean in means)


def format_seconds(seconds: float) -> str:
    """Return 3725 as `1:02:05`, 65 as `1:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _describe_epoch(epoch: EpochMetric, job: JobRecord) -> str:
    return (
        f"epoch {epoch.epoch} of {_count_epochs(job)}: accuracy {epoch.test_accuracy:.1%} on the "
        f"test images, {epoch.train_accuracy:.1%} while training, loss {epoch.train_loss:.3f}"
    )


def _describe_step(step: StepMetric, job: JobRecord) -> str:
    return (
        f"epoch {step.epoch} of {_count_epochs(job)}, step {step.step}: loss {step.loss:.3f}, "
        f"{step.images_per_second:,.0f} images/s, {format_seconds(step.seconds_left)} left"
    )


def _count_epochs(job: JobRecord) -> str:
    return str(job.spec.get("epochs", "?"))


def _describe_wait(job: JobRecord) -> str:
    if job.status is JobStatus.PAUSED:
        return f"Job {job.id} is paused. Let it go on with: tenfold jobs resume {job.id}"
    return job.waiting_reason or ""
