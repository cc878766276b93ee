"""What the service measures about itself, in the names and units of Prometheus."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram

_SECONDS_BUCKETS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
_SIZE_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Monitoring:
    """The metrics of one process. Built once, because a registry takes each name only once."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.batch_images = Histogram(
            "tenfold_predict_batch_images",
            "Images that ran together.",
            ["model"],
            buckets=_SIZE_BUCKETS,
            registry=registry,
        )
        self.waiting_seconds = Histogram(
            "tenfold_predict_waiting_seconds",
            "Time from the arrival of a request to the start of its batch.",
            ["model"],
            buckets=_SECONDS_BUCKETS,
            registry=registry,
        )
        self.batch_seconds = Histogram(
            "tenfold_predict_batch_seconds",
            "Time to decode and run one batch.",
            ["model"],
            buckets=_SECONDS_BUCKETS,
            registry=registry,
        )
        self.images = Counter(
            "tenfold_predict_images_total", "Images that ran.", ["model"], registry=registry
        )
        self.dropped_requests = Counter(
            "tenfold_predict_dropped_requests_total",
            "Requests that left the queue without running, by reason.",
            ["model", "reason"],
            registry=registry,
        )
        self.model_loads = Counter(
            "tenfold_model_loads_total", "Models that were loaded.", ["model"], registry=registry
        )


class BatchObserver:
    """The metrics of one model's batcher."""

    def __init__(self, monitoring: Monitoring, model: str) -> None:
        self._batch_images = monitoring.batch_images.labels(model)
        self._waiting_seconds = monitoring.waiting_seconds.labels(model)
        self._batch_seconds = monitoring.batch_seconds.labels(model)
        self._images = monitoring.images.labels(model)
        self._dropped = {
            reason: monitoring.dropped_requests.labels(model, reason)
            for reason in ("cancelled", "expired")
        }

    def batch_formed(self, size: int, waited_seconds: Sequence[float]) -> None:
        self._batch_images.observe(size)
        for seconds in waited_seconds:
            self._waiting_seconds.observe(seconds)

    def batch_ended(self, size: int, ran_seconds: float) -> None:
        self._batch_seconds.observe(ran_seconds)
        self._images.inc(size)

    def request_dropped(self, reason: str) -> None:
        self._dropped[reason].inc()
