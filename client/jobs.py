"""Jobs as objects: what they are, and what can be done with them."""

from contextlib import AbstractContextManager, nullcontext
from os import PathLike
from pathlib import Path

from pydantic import ConfigDict, PrivateAttr

from client import calls, downloads, job_flows
from client.calls import PictureFormat
from client.flows import Flow, Items, ask
from client.job_flows import Observe
from client.operations import (
    Asynchronous,
    Synchronous,
    iteration,
    job_iteration,
    job_operation,
    operation,
)
from client.runners import AsyncRunner, SyncRunner
from client.schemas import (
    Checkpoint,
    ClassifiedImage,
    EpochMetric,
    Event,
    JobRecord,
    Metrics,
    Report,
    StepMetric,
)


class JobOperations(JobRecord):
    """A job as it was when it was read. Operations that change it return it anew."""

    model_config = ConfigDict(
        ignored_types=(operation, job_operation, iteration, job_iteration), frozen=True
    )

    @job_operation
    def refresh(self) -> Flow[JobRecord]:
        """Return the job as it is now."""
        return ask(calls.get_job(self.id))

    @job_operation
    def wait(
        self,
        *,
        progress: bool | Observe | AbstractContextManager[Observe] = False,
        timeout_seconds: float | None = None,
    ) -> Flow[JobRecord]:
        """Wait until the job has succeeded, and return it.

        `progress=True` draws on standard error where that is a terminal, and else writes a line for
        each piece of news; a function instead is called with each `JobUpdate`.
        Raises JobFailedError, JobCancelledError, WaitTimeoutError, ConnectionFailedError.
        """
        return job_flows.wait_for(self, _choose_display(progress=progress), timeout_seconds)

    @job_operation
    def cancel(self) -> Flow[JobRecord]:
        """Stop the job for good; a running one keeps its last checkpoint."""
        return ask(calls.change_job(self.id, "cancel"))

    @job_operation
    def pause(self) -> Flow[JobRecord]:
        """Hold the job; a running one writes a checkpoint first."""
        return ask(calls.change_job(self.id, "pause"))

    @job_operation
    def resume(self) -> Flow[JobRecord]:
        """Queue a paused job again."""
        return ask(calls.change_job(self.id, "resume"))

    @job_operation
    def retry(self) -> Flow[JobRecord]:
        """Queue a failed job again; it goes on from its last checkpoint."""
        return ask(calls.change_job(self.id, "retry"))

    @operation
    def delete(self) -> Flow[None]:
        """Delete an ended job with its metrics, events and checkpoints. Its model stays."""
        return ask(calls.delete_job(self.id))

    @operation
    def read_metrics(self) -> Flow[Metrics]:
        """Return all metrics so far, oldest first."""
        return job_flows.read_metrics(self.id)

    @iteration
    def list_events(self) -> Items[Event]:
        """Iterate over the events so far, oldest first."""
        return job_flows.list_events(self.id)

    @iteration
    def follow_events(self, *, last_event_id: int = 0) -> Items[Event]:
        """Iterate over the events after `last_event_id` as they happen, until the job has ended.

        A connection that breaks is taken up again; no event comes twice, and none is missed.
        """
        return job_flows.follow_events(self.id, last_event_id)

    @iteration
    def follow_metrics(self) -> Items[StepMetric | EpochMetric]:
        """Iterate over the metrics of steps and epochs as they come, until the job has ended.

        A connection that breaks is taken up again; no metric comes twice, and none is missed.
        """
        return job_flows.follow_metrics(self.id)

    @operation
    def get_report(self) -> Flow[Report]:
        """Return the report of a job that has succeeded. Raises ConflictError before."""
        return ask(calls.get_report(self.id))

    @operation
    def draw_curves(
        self, *, picture_format: PictureFormat = "png", log: bool = False
    ) -> Flow[bytes]:
        """Return a picture of loss and accuracy so far; `log` makes the axis of the loss so."""
        return ask(calls.draw_curves(self.id, picture_format, log=log))

    @operation
    def draw_confusion_matrix(self, *, picture_format: PictureFormat = "png") -> Flow[bytes]:
        """Return a picture of the confusion matrix. Raises ConflictError without a report."""
        return ask(calls.draw_confusion_matrix(self.id, picture_format))

    @iteration
    def list_predictions(
        self, *, label: str | None = None, predicted: str | None = None
    ) -> Items[ClassifiedImage]:
        """Iterate over what the model answered on the test images: one cell of the matrix, say."""
        return job_flows.list_predictions(self.id, label, predicted)

    @operation
    def list_checkpoints(self) -> Flow[list[Checkpoint]]:
        """Return the checkpoints that are kept, newest first."""
        return (yield from ask(calls.list_checkpoints(self.id))).items

    @operation
    def download_checkpoint(
        self, checkpoint_id: int, folder: str | PathLike[str]
    ) -> Flow[list[Path]]:
        """Download the files of a checkpoint into a folder, checked, and return their paths."""
        checkpoint = yield from ask(calls.get_checkpoint(self.id, checkpoint_id))
        return (
            yield from downloads.download_all(
                checkpoint.files,
                Path(folder),
                lambda name, sink: calls.download_checkpoint_file(
                    self.id, checkpoint_id, name, sink
                ),
            )
        )


class Job(JobOperations, Synchronous):
    """A job of `Tenfold`."""

    _runner: SyncRunner = PrivateAttr()

    def __init__(self, runner: SyncRunner, record: JobRecord) -> None:
        super().__init__(**record.__dict__)
        self._runner = runner

    def _own_job(self, record: JobRecord) -> "Job":
        return Job(self._runner, record)


class AsyncJob(JobOperations, Asynchronous):
    """A job of `AsyncTenfold`."""

    _runner: AsyncRunner = PrivateAttr()

    def __init__(self, runner: AsyncRunner, record: JobRecord) -> None:
        super().__init__(**record.__dict__)
        self._runner = runner

    def _own_job(self, record: JobRecord) -> "AsyncJob":
        return AsyncJob(self._runner, record)


def _choose_display(
    *, progress: bool | Observe | AbstractContextManager[Observe]
) -> AbstractContextManager[Observe | None]:
    if isinstance(progress, AbstractContextManager):
        return progress
    if progress is True:
        # Only who wants to see something loads the display.
        from client.progress import ProgressDisplay  # noqa: PLC0415

        return ProgressDisplay()
    return nullcontext(progress or None)
