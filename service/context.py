"""What a request may use (settings, database, artifacts), and how a route asks for it."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from service.event_feed import EventFeed
from service.loaded_models import LoadedModels
from service.monitoring import Monitoring
from store.artifacts import ArtifactStore
from store.database import Database
from store.settings import Settings


@dataclass(frozen=True)
class Context:
    """Built once in the lifespan of the application, and shared by all requests."""

    settings: Settings
    database: Database
    artifacts: ArtifactStore
    event_feed: EventFeed
    loaded_models: LoadedModels
    monitoring: Monitoring


def _get_context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


ContextDependency = Annotated[Context, Depends(_get_context)]
