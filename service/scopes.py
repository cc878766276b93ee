"""Which scopes open which route: one table. An application with a route that it lacks never starts.

A route that names several scopes takes a key with any of them. `admin` opens every route.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fastapi.routing import iter_route_contexts
from starlette._utils import get_route_path
from starlette.routing import BaseRoute
from starlette.types import Scope as AsgiScope

from store.keys import Scope

Scopes = frozenset[Scope]

# Answered without a key.
OPEN: Scopes = frozenset()
ANY_KEY: Scopes = frozenset(Scope)
ADMIN: Scopes = frozenset({Scope.ADMIN})
READ: Scopes = ADMIN | {Scope.READ}
PREDICT: Scopes = ADMIN | {Scope.PREDICT}
TRAIN: Scopes = ADMIN | {Scope.TRAIN}

ROUTE_SCOPES: dict[str, Scopes] = {
    # The page, the documentation and the probes tell nothing that is this installation's own.
    "GET /": OPEN,
    "* /dashboard": OPEN,
    "GET /docs": OPEN,
    "GET /docs/swagger-ui-bundle.js": OPEN,
    "GET /docs/swagger-ui.css": OPEN,
    "GET /docs/favicon-32x32.png": OPEN,
    "GET /openapi.json": OPEN,
    "GET /problems": OPEN,
    "GET /problems/{code}": OPEN,
    "GET /health/live": OPEN,
    "GET /health/ready": OPEN,
    "GET /v2/health/live": OPEN,
    "GET /v2/health/ready": OPEN,
    "POST /predict": PREDICT,
    "POST /explain": PREDICT,
    # Clients of this protocol ask what a model is before they use it.
    "GET /v2": READ | PREDICT,
    "GET /v2/models/{model}": READ | PREDICT,
    "GET /v2/models/{model}/ready": READ | PREDICT,
    "GET /v2/models/{model}/versions/{version}": READ | PREDICT,
    "GET /v2/models/{model}/versions/{version}/ready": READ | PREDICT,
    "POST /v2/models/{model}/infer": PREDICT,
    "POST /v2/models/{model}/versions/{version}/infer": PREDICT,
    "POST /v2/repository/index": READ | PREDICT,
    "POST /v2/repository/models/{model}/load": ADMIN,
    "POST /v2/repository/models/{model}/unload": ADMIN,
    # Says only that there is nothing at the address.
    "* /v2/{rest:path}": ANY_KEY,
    "POST /jobs": TRAIN,
    "GET /jobs": READ,
    "GET /jobs/{job_id}": READ | TRAIN,
    "DELETE /jobs/{job_id}": TRAIN,
    "POST /jobs/{job_id}/cancel": TRAIN,
    "POST /jobs/{job_id}/pause": TRAIN,
    "POST /jobs/{job_id}/resume": TRAIN,
    "POST /jobs/{job_id}/retry": TRAIN,
    "GET /jobs/{job_id}/metrics": READ | TRAIN,
    "GET /jobs/{job_id}/curves.{picture_format}": READ | TRAIN,
    "GET /jobs/{job_id}/events": READ | TRAIN,
    "GET /jobs/{job_id}/report": READ | TRAIN,
    "GET /jobs/{job_id}/confusion-matrix.{picture_format}": READ | TRAIN,
    "GET /jobs/{job_id}/predictions": READ | TRAIN,
    "GET /jobs/{job_id}/checkpoints": READ,
    "GET /jobs/{job_id}/checkpoints/{checkpoint_id}": READ,
    "GET /jobs/{job_id}/checkpoints/{checkpoint_id}/files/{file_name}": READ,
    "GET /jobs/{job_id}/checkpoints/{checkpoint_id}/download": READ,
    "POST /sweeps": TRAIN,
    "GET /sweeps": READ,
    "GET /sweeps/{sweep_id}": READ | TRAIN,
    "POST /sweeps/{sweep_id}/cancel": TRAIN,
    "DELETE /sweeps/{sweep_id}": TRAIN,
    "GET /models": READ,
    "GET /models/{model_name}": READ,
    "GET /models/{model_name}/versions/{version}": READ,
    "DELETE /models/{model_name}/versions/{version}": ADMIN,
    "GET /models/{model_name}/versions/{version}/files/{file_name}": READ,
    "GET /models/{model_name}/versions/{version}/download": READ,
    # Whoever publishes models also says which of them is in production.
    "PUT /models/{model_name}/aliases/{alias}": TRAIN,
    "DELETE /models/{model_name}/aliases/{alias}": TRAIN,
    "GET /datasets": READ,
    "GET /datasets/{dataset_name}": READ,
    "GET /datasets/{dataset_name}/samples": READ,
    "GET /datasets/{dataset_name}/samples.svg": READ,
    "GET /datasets/{dataset_name}/images/{split}/{index}": READ,
    "GET /networks": READ,
    "GET /networks/{network_name}": READ,
    "GET /networks/{network_name}/graph": READ,
    "GET /networks/{network_name}/graph.svg": READ,
    "GET /recipes": READ,
    "GET /recipes/{recipe_name}": READ,
    "GET /workers": READ,
    "GET /storage": READ,
    "GET /metrics": READ,
    "GET /keys": ADMIN,
    "POST /keys": ADMIN,
    "POST /keys/{key_id}/revoke": ADMIN,
}


class RouteRule(NamedTuple):
    """One method of one route, as the router matches it."""

    method: str
    path: str
    regex: re.Pattern[str]

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


class RouteScopes:
    """Finds the scopes of a request, with the router's own patterns in the router's own order."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        rules = list(list_rules(routes))
        missing = [rule.name for rule in rules if find_declared(rule.method, rule.path) is None]
        if missing:
            raise LookupError(f"No scope is declared in service/scopes.py for {missing}")
        self._exact: dict[tuple[str, str], Scopes] = {}
        self._patterns: list[tuple[RouteRule, Scopes]] = []
        for rule in rules:
            scopes = find_declared(rule.method, rule.path) or OPEN
            self._patterns.append((rule, scopes))
            if "{" not in rule.path and rule.method != "*":
                self._exact.setdefault((rule.method, rule.path), scopes)

    def find(self, scope: AsgiScope) -> Scopes | None:
        """Return the scopes of a request's route, None where no route takes it."""
        method, path = scope["method"], scope["path"]
        found = self._exact.get((method, path))
        if found is not None and not scope.get("root_path"):
            return found
        path = get_route_path(scope)
        for rule, scopes in self._patterns:
            if rule.method in {method, "*"} and rule.regex.match(path):
                return scopes
        return None


def list_rules(routes: Sequence[BaseRoute]) -> Iterator[RouteRule]:
    """Yield every method of every route. A mount takes all of them."""
    for context in iter_route_contexts(routes):
        path, regex = context.path, context.path_regex
        assert path is not None  # noqa: S101 -- for the type checker
        for method in sorted(context.methods or {"*"}):
            yield RouteRule(method, path, regex)


def find_declared(method: str, path: str) -> Scopes | None:
    """Return what the table says of a route; HEAD is as GET."""
    method = "GET" if method == "HEAD" else method
    return ROUTE_SCOPES.get(f"{method} {path}", ROUTE_SCOPES.get(f"* {path}"))
