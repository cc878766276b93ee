"""The application: its routes, and what it holds while it runs."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from service import (
    checkpoints,
    dashboard,
    datasets,
    documentation,
    errors,
    events,
    explain,
    health,
    inference_protocol,
    job_pictures,
    jobs,
    keys,
    metrics,
    models,
    networks,
    openapi,
    predict,
    problem_pages,
    prometheus,
    recipes,
    reports,
    storage,
    sweeps,
    workers,
)
from service.access import AccessMiddleware
from service.body_limit import BodyLimitMiddleware
from service.context import Context
from service.direct_routes import DirectRoutesMiddleware
from service.event_feed import EventFeed
from service.key_ring import KeyRing
from service.loaded_models import LoadedModels
from service.model_cache import ModelCache
from service.monitoring import Monitoring, MonitoringMiddleware
from service.rescuer import Rescuer
from service.scopes import RouteScopes
from service.security_headers import SecurityHeadersMiddleware, cross_origin_options
from service.webhooks import WebhookSender
from store.artifacts import open_store
from store.database import Database
from store.rescue import Rescue
from store.settings import Settings

_DESCRIPTION = """
Train an image classifier and serve it, on your own machine.

Post a job, follow its events and metrics, read its report, and send images to the model that
came out. Every failure is a problem (RFC 9457) with a stable `code`.
"""

_ROUTERS = [
    # First, because it is asked most often, and routes are tried in order.
    predict.router,
    inference_protocol.router,
    explain.router,
    jobs.router,
    sweeps.router,
    metrics.router,
    events.router,
    reports.router,
    job_pictures.router,
    checkpoints.router,
    models.router,
    datasets.router,
    networks.router,
    recipes.router,
    workers.router,
    health.router,
    storage.router,
    keys.router,
    prometheus.router,
    problem_pages.router,
    documentation.router,
]


def create_app(settings: Settings, monitoring: Monitoring | None = None) -> FastAPI:
    """Return the application. The database is opened when it starts, not here.

    `monitoring` is what the server around it counts in as well.
    """
    monitoring = monitoring or Monitoring()
    app = FastAPI(
        title="Tenfold",
        version=_read_version(),
        summary="Train an image classifier and serve it over REST.",
        description=_DESCRIPTION,
        lifespan=_make_lifespan(settings, monitoring),
        generate_unique_id_function=openapi.use_function_name,
        # A redirect to the same address with a slash would hide a misspelt address.
        redirect_slashes=False,
        # `documentation` serves it without the internet.
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        # It looks for an exporter at every request, which takes longer than to read a picture.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.add_middleware(DirectRoutesMiddleware, routes=predict.router.routes)
    # What is added later is further out: what the limit refuses is counted, and gets no further.
    app.add_middleware(
        BodyLimitMiddleware,
        limit_bytes=settings.limit_body_bytes,
        limits_bytes=dict.fromkeys(
            ("/predict", "/explain", "/v2"), settings.limit_predict_body_bytes
        ),
    )
    errors.add_handlers(app)
    for router in _ROUTERS:
        app.include_router(router)
    dashboard.add_to(app)
    openapi.install(app)
    # Whoever may not ask sends no body.
    app.add_middleware(AccessMiddleware, settings=settings, routes=RouteScopes(app.routes))
    if settings.cors_origins:
        # Further out, because a browser's preflight request has no key.
        app.add_middleware(CORSMiddleware, **cross_origin_options(settings.cors_origins))
    app.add_middleware(SecurityHeadersMiddleware)
    app.add_middleware(MonitoringMiddleware, monitoring=monitoring)
    return app


def _make_lifespan(
    settings: Settings,
    monitoring: Monitoring,
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = Database(settings.resolved_database_url, max_bytes=settings.database_max_bytes)
        event_feed = EventFeed(database)
        key_ring = KeyRing(
            database,
            is_always_closed=settings.is_reachable,
            requests_per_second=settings.key_requests_per_second,
        )
        artifacts = open_store(settings.artifacts_url)
        model_cache = ModelCache(settings, database, artifacts, monitoring)
        loaded_models = LoadedModels(database, model_cache)
        app.state.context = Context(
            settings=settings,
            database=database,
            artifacts=artifacts,
            event_feed=event_feed,
            key_ring=key_ring,
            loaded_models=loaded_models,
            monitoring=monitoring,
        )
        rescue = Rescue(database, settings.lease_seconds, settings.crashes_folder)
        rescuer = Rescuer(rescue, settings.heartbeat_interval_seconds)
        webhook_sender = WebhookSender(settings, database)
        monitoring.shared_numbers.start()
        await key_ring.start()
        await loaded_models.start()
        rescuer.start()
        await webhook_sender.start()
        try:
            yield
        finally:
            await webhook_sender.stop()
            await rescuer.stop()
            await loaded_models.stop()
            await event_feed.stop()
            await key_ring.stop()
            await monitoring.shared_numbers.stop()
            database.dispose()

    return lifespan


def _read_version() -> str:
    try:
        return version("tenfold")
    except PackageNotFoundError:
        # Run from a checkout that was not installed.
        return "0.1.0"
