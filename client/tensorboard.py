"""The metrics of a job as TensorBoard event files, written by TensorBoard's own writer."""

from pathlib import Path
from typing import Any

from client.errors import ExportError
from client.metric_series import list_points
from client.schemas import JobRecord, Metrics

# Marks the files of this module among those that others may have put there.
_SUFFIX = ".tenfold"


def write_events(job: JobRecord, metrics: Metrics, folder: str | Path) -> Path:
    """Write a run for the job below `folder`, and return its path: give `folder` to --logdir.

    A run that was written before is replaced. Raises ExportError without the extra `tensorboard`.
    """
    events, summaries, writer_class, hyperparameters = _import_library()
    run = Path(folder) / f"job-{job.id}-{job.model_name}"
    earlier = list(run.glob(f"events.out.tfevents.*{_SUFFIX}"))
    writer = writer_class(str(run), filename_suffix=_SUFFIX)
    spec = {name: value for name, value in job.spec.items() if value is not None}
    start = (job.started_at or job.created_at).timestamp()
    summary = hyperparameters(spec, trial_id=run.name, start_time_secs=start)
    writer.add_event(events.Event(wall_time=start, summary=summary))
    for point in list_points(job, metrics):
        value = summaries.Summary.Value(tag=point.series, simple_value=point.value)
        writer.add_event(
            events.Event(
                wall_time=point.time.timestamp(),
                step=point.step,
                summary=summaries.Summary(value=[value]),
            )
        )
    writer.close()
    for path in earlier:
        path.unlink()
    return run


def _import_library() -> tuple[Any, Any, Any, Any]:
    try:
        from tensorboard.compat.proto import event_pb2, summary_pb2  # noqa: PLC0415 -- an extra
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb  # noqa: PLC0415
        from tensorboard.summary.writer.event_file_writer import (  # noqa: PLC0415
            EventFileWriter,
        )
    except ImportError as error:
        raise ExportError(
            "Event files need the optional extra `tensorboard`: pip install 'tenfold[tensorboard]'"
        ) from error
    return event_pb2, summary_pb2, EventFileWriter, hparams_pb
