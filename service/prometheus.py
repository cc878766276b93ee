"""`GET /metrics`: the numbers of this process, and those of the jobs and workers."""

import logging
from collections.abc import Iterator

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from service.context import Context, ContextDependency
from service.shared_numbers import are_shared
from store import statistics
from store.database import Database
from store.errors import DatabaseError
from store.tables import JobStatus

_logger = logging.getLogger(__name__)

router = APIRouter(tags=["monitoring"])

_EXAMPLE = """# HELP tenfold_jobs Jobs by status.
# TYPE tenfold_jobs gauge
tenfold_jobs{status="running"} 1.0
"""


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {
            "description": "Prometheus text format",
            "content": {"text/plain": {"example": _EXAMPLE}},
        }
    },
)
def get_prometheus_metrics(context: ContextDependency) -> Response:
    """Give the numbers to Prometheus: requests, batches, queues, models, jobs and workers."""
    content = generate_latest(_collect_processes(context))
    registry = CollectorRegistry()
    registry.register(StateCollector(context.database))
    return Response(content + generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


def _collect_processes(context: Context) -> CollectorRegistry:
    """Return the numbers of this process, or of all where several serve."""
    if not are_shared():
        return context.monitoring.registry
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


class StateCollector(Collector):
    """Reads the state of jobs and workers from the database at each scrape."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[Metric]:
        try:
            found = list(self._read())
        except DatabaseError as error:
            _logger.warning("The database cannot be read for /metrics", exc_info=error)
            found = []
        yield GaugeMetricFamily(
            "tenfold_database_up", "Whether the database can be read.", value=float(bool(found))
        )
        yield from found

    def _read(self) -> Iterator[Metric]:
        with self._database.reading() as session:
            counts = statistics.count_jobs_by_status(session)
            speeds = statistics.read_training_speeds(session)
            heartbeat_ages = statistics.list_heartbeat_ages(session)
        by_status = GaugeMetricFamily("tenfold_jobs", "Jobs by status.", labels=["status"])
        for status in JobStatus:
            by_status.add_metric([status], counts.get(status, 0))
        yield by_status
        training = GaugeMetricFamily(
            "tenfold_training_images_per_second",
            "Speed of each running job, as of its last report.",
            labels=["job"],
        )
        for job_id, images_per_second in speeds.items():
            training.add_metric([str(job_id)], images_per_second)
        yield training
        heartbeats = GaugeMetricFamily(
            "tenfold_worker_heartbeat_age_seconds",
            "Time since a worker that has not stopped was last heard of.",
            labels=["worker"],
        )
        for worker_id, seconds in heartbeat_ages.items():
            heartbeats.add_metric([worker_id], seconds)
        yield heartbeats
