"""What a request may use (settings, database, artifacts), and how a route asks for it."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from service.event_feed import EventFeed
from service.key_ring import KeyRing
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
    key_ring: KeyRing
    loaded_models: LoadedModels
    monitoring: Monitoring


def _get_context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


def _get_api_key_id(request: Request) -> str | None:
    key_id: str | None = getattr(request.state, "api_key_id", None)
    return key_id


ContextDependency = Annotated[Context, Depends(_get_context)]
# The key that the request came with; None where the service asks for none.
ApiKeyIdDependency = Annotated[str | None, Depends(_get_api_key_id)]
