"""What the service measures about itself, in the names and units of Prometheus."""

from collections.abc import Sequence
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.shared_numbers import SharedNumbers

_SECONDS_BUCKETS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
_SIZE_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Monitoring:
    """The metrics of one process. Built once, because a registry takes each name only once."""

    def __init__(self) -> None:
        self.shared_numbers = SharedNumbers()
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "tenfold_http_requests_total",
            "Requests that were answered.",
            ["method", "route", "status"],
            registry=registry,
        )
        self.request_seconds = Histogram(
            "tenfold_http_request_duration_seconds",
            "Time from the start of a request to the end of its reply.",
            ["method", "route", "status"],
            buckets=_SECONDS_BUCKETS,
            registry=registry,
        )
        self.refusals = Counter(
            "tenfold_http_refusals_total",
            "Connections that were refused before a whole request was there, by code.",
            ["code"],
            registry=registry,
        )
        self.batch_images = Histogram(
            "tenfold_predict_batch_images",
            "Images that ran together.",
            ["model"],
            buckets=_SIZE_BUCKETS,
            registry=registry,
        )
        self.batch_seconds = Histogram(
            "tenfold_predict_batch_duration_seconds",
            "Time to decode and run one batch.",
            ["model"],
            buckets=_SECONDS_BUCKETS,
            registry=registry,
        )
        self.waiting_seconds = Histogram(
            "tenfold_predict_waiting_seconds",
            "Time from the arrival of a request to the start of its batch.",
            ["model"],
            buckets=_SECONDS_BUCKETS,
            registry=registry,
        )
        self.queue_images = Gauge(
            "tenfold_predict_queue_images",
            "Images that wait for a batch.",
            ["model"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.queue_age_seconds = Gauge(
            "tenfold_predict_queue_age_seconds",
            "How long the first image in the queue has waited.",
            ["model"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.decoding_images = Gauge(
            "tenfold_predict_decoding_images",
            "Large images that are being decoded, or wait for it.",
            registry=registry,
            multiprocess_mode="livesum",
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
        self.models_loaded = Gauge(
            "tenfold_models_loaded",
            "Model versions in memory.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.models_bytes = Gauge(
            "tenfold_models_loaded_bytes",
            "Size of the networks in memory.",
            registry=registry,
            multiprocess_mode="livesum",
        )


class BatchObserver:
    """The metrics of one model's batcher."""

    def __init__(self, monitoring: Monitoring, model: str) -> None:
        self._batch_images = monitoring.batch_images.labels(model)
        self._batch_seconds = monitoring.batch_seconds.labels(model)
        self._waiting_seconds = monitoring.waiting_seconds.labels(model)
        self._images = monitoring.images.labels(model)
        self._dropped = {
            reason: monitoring.dropped_requests.labels(model, reason)
            for reason in ("cancelled", "expired")
        }

    def batch_ended(self, size: int, waited_seconds: Sequence[float], ran_seconds: float) -> None:
        self._batch_images.observe(size)
        for seconds in waited_seconds:
            self._waiting_seconds.observe(seconds)
        self._batch_seconds.observe(ran_seconds)
        self._images.inc(size)

    def request_dropped(self, reason: str) -> None:
        self._dropped[reason].inc()


class MonitoringMiddleware:
    """Counts and times every request by its route, as the OpenAPI document writes it."""

    def __init__(self, app: ASGIApp, monitoring: Monitoring) -> None:
        self._app = app
        self._monitoring = monitoring
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # What ends without a reply is answered 500 further out.
        status = 500

        async def send_noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        started_at = perf_counter()
        try:
            await self._app(scope, receive, send_noted)
        finally:
            self._record(scope, status, perf_counter() - started_at)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        # Routes are few; the paths and methods that clients make up have no end.
        path = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        key = (method, path, status)
        if key not in self._children:
            self._children[key] = (
                self._monitoring.requests.labels(*key),
                self._monitoring.request_seconds.labels(*key),
            )
        requests, request_seconds = self._children[key]
        requests.inc()
        request_seconds.observe(seconds)
