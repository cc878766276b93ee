"""Who may do what: every route with every kind of key, and every way around that comes to mind."""

import http.client
import re
from collections.abc import Iterator
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from service.app import create_app
from service.scopes import ROUTE_SCOPES, RouteScopes, list_rules
from store import keys
from store.clock import utc_now
from store.database import Database
from store.keys import Scope
from store.settings import Settings
from tests.service.serving import make_settings, serve

ROOT = Path(__file__).parents[2]
METHODS = {"get", "post", "put", "delete", "patch"}
# Answered to anybody: written down a second time, so that nothing gets in unseen.
OPEN_PATHS = {
    "/",
    "/dashboard",
    "/docs",
    "/docs/swagger-ui-bundle.js",
    "/docs/swagger-ui.css",
    "/docs/favicon-32x32.png",
    "/openapi.json",
    "/problems",
    "/problems/{code}",
    "/health/live",
    "/health/ready",
    "/v2/health/live",
    "/v2/health/ready",
}
# What a path parameter is replaced by.
PARAMETERS = {"split": "test", "code": "no_model", "file_name": "model.onnx", "key_id": "0" * 12}


class Keys(NamedTuple):
    """A key of each scope, and keys that nothing takes."""

    scoped: dict[Scope, str]
    refused: dict[str, str | None]


class Operation(NamedTuple):
    method: str
    path: str
    scopes: frozenset[str]

    @property
    def address(self) -> str:
        return re.sub(r"{(\w+)}", lambda found: PARAMETERS.get(found[1], "1"), self.path)


def make_keys(settings: Settings) -> Keys:
    database = Database(settings.resolved_database_url)
    with database.writing() as session:
        scoped = {scope: keys.create(session, scope.value, [scope])[1] for scope in Scope}
        revoked_row, revoked = keys.create(session, "revoked", list(Scope))
        keys.revoke(session, revoked_row.id)
        expired_row, expired = keys.create(session, "expired", list(Scope))
        expired_row.expires_at = utc_now() - timedelta(seconds=1)
    database.dispose()
    admin = scoped[Scope.ADMIN]
    refused = {
        "none": None,
        "revoked": f"Bearer {revoked}",
        "expired": f"Bearer {expired}",
        "other secret": f"Bearer {admin[:-2]}{'AA' if admin[-2:] != 'AA' else 'BB'}",
        "no secret": f"Bearer {admin[:20]}",
        "other scheme": f"Basic {admin}",
        "nothing": "Bearer",
        "empty": "",
        "only the id": admin.split("_")[1],
    }
    return Keys(scoped, refused)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, Keys]]:
    """A service that has keys, one for all tests that change nothing."""
    settings = make_settings(tmp_path_factory.mktemp("closed"))
    made = make_keys(settings)
    with serve(settings) as client:
        yield client, made


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> list[Operation]:
    document = create_app(make_settings(tmp_path_factory.mktemp("data"))).openapi()
    return [
        Operation(
            method.upper(),
            path,
            frozenset(chain(*(role for item in operation["security"] for role in item.values()))),
        )
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    ]


def ask(client: httpx.Client, operation: Operation, authorization: str | None) -> httpx.Response:
    headers = {} if authorization is None else {"Authorization": authorization}
    return client.request(operation.method, operation.address, headers=headers)


def test_every_route_declares_its_scopes_and_every_declaration_is_a_route(tmp_path: Path) -> None:
    app = create_app(make_settings(tmp_path))
    routes = {(rule.method, rule.path) for rule in list_rules(app.routes)}
    for name in ROUTE_SCOPES:
        method, _, path = name.partition(" ")
        assert any(path == known and method in {"*", each} for each, known in routes), name

    @app.get("/forgotten")
    def forgotten() -> None: ...

    with pytest.raises(LookupError, match="GET /forgotten"):
        RouteScopes(app.routes)


def test_only_what_is_listed_here_is_open(tmp_path: Path) -> None:
    app = create_app(make_settings(tmp_path))
    paths = {rule.path for rule in list_rules(app.routes)}
    is_open = {name.partition(" ")[2] for name, scopes in ROUTE_SCOPES.items() if not scopes}
    assert is_open == OPEN_PATHS
    assert is_open <= paths


def test_a_key_opens_the_routes_of_its_scope_and_no_other(
    closed: tuple[httpx.Client, Keys], operations: list[Operation]
) -> None:
    client, made = closed
    assert len(operations) > 50
    for operation in operations:
        for scope, key in made.scoped.items():
            reply = ask(client, operation, f"Bearer {key}")
            may = not operation.scopes or scope in operation.scopes
            assert (reply.status_code in {401, 403}) != may, (operation, scope, reply.text)
            if not may:
                assert reply.json()["code"] == "scope_missing"
                assert "insufficient_scope" in reply.headers["WWW-Authenticate"]


def test_scopes_mean_what_they_say(operations: list[Operation]) -> None:
    for method, path, scopes in operations:
        if not scopes:
            assert path in OPEN_PATHS
            continue
        assert "admin" in scopes, path
        if "read" in scopes:
            assert method == "GET" or path == "/v2/repository/index", path
        if "predict" in scopes:
            assert path in {"/predict", "/explain"} or path.startswith("/v2"), path
        if "train" in scopes:
            assert path.startswith(("/jobs", "/sweeps")) or "/aliases/" in path, path
        if path.startswith("/keys"):
            assert scopes == {"admin"}, path


def test_no_route_takes_what_is_no_key(
    closed: tuple[httpx.Client, Keys], operations: list[Operation]
) -> None:
    client, made = closed
    for operation in operations:
        for kind, authorization in made.refused.items():
            reply = ask(client, operation, authorization)
            if not operation.scopes:
                assert reply.status_code not in {401, 403}, (operation, kind)
                continue
            assert reply.status_code == 401, (operation, kind, reply.text)
            problem = reply.json()
            assert problem["code"] == ("key_missing" if kind == "none" else "key_invalid")
            assert reply.headers["content-type"] == "application/problem+json"
            assert reply.headers["WWW-Authenticate"].startswith('Bearer realm="tenfold"')
            if operation.path.startswith("/v2/"):
                assert problem["error"] == problem["detail"]


@pytest.mark.parametrize(
    "target",
    [
        "/jobs/", "//jobs", "/%6aobs", "/jobs%2f", "/jobs%2F1", "/./jobs", "/jobs/.", "/jobs?",
        "/jobs;a=b", "/JOBS", "/dashboard/../jobs", "/dashboard/%2e%2e/jobs", "/docs/../jobs",
        "/health/live/../../jobs", "/health/live%2f..%2f..%2fjobs", "/jobs%00", "/jobs%0a",
        "/jobs#x", "/v2/../jobs", "/%2fjobs", "/jobs/1/../", "\\jobs", "/jobs%20", "http://x/jobs",
        "/openapi.json/../jobs", "/problems/../keys", "/keys/", "/%6beys", "/dashboard/..%2fjobs",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PATCH", "TRACE", "get"])
def test_no_other_spelling_of_an_address_gets_past_the_key(
    closed: tuple[httpx.Client, Keys], method: str, target: str
) -> None:
    """As bytes on the wire: httpx would tidy them up."""
    status, body = ask_raw(closed[0], method, target)
    assert status in {400, 401, 404, 405}, (status, body)
    assert b"items" not in body


@pytest.mark.parametrize(
    "headers",
    [
        {"X-HTTP-Method-Override": "GET"},
        {"X-Method-Override": "GET"},
        {"X-Original-URL": "/health/live"},
        {"X-Rewrite-URL": "/health/live"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-Prefix": "/health"},
        {"Host": "localhost"},
        {"Origin": "http://127.0.0.1"},
        {"Cookie": "api_key=admin"},
        {"X-API-Key": "admin"},
        {"Proxy-Authorization": "Bearer admin"},
    ],
)
def test_no_other_header_stands_for_a_key(
    closed: tuple[httpx.Client, Keys], headers: dict[str, str]
) -> None:
    for method in ("GET", "POST"):
        reply = closed[0].request(method, "/jobs?api_key=admin&access_token=admin", headers=headers)
        assert reply.status_code == 401


def test_the_first_of_two_keys_counts(closed: tuple[httpx.Client, Keys]) -> None:
    client, made = closed
    headers = [
        ("Authorization", f"Bearer {made.scoped[Scope.PREDICT]}"),
        ("Authorization", f"Bearer {made.scoped[Scope.ADMIN]}"),
    ]
    assert client.get("/keys", headers=headers).status_code == 403


def test_a_key_in_another_case_of_the_scheme_is_taken(closed: tuple[httpx.Client, Keys]) -> None:
    client, made = closed
    for scheme in ("Bearer", "bearer", "BEARER"):
        headers = {"Authorization": f"{scheme}  {made.scoped[Scope.READ]}"}
        assert client.get("/jobs", headers=headers).status_code == 200


def test_what_does_not_exist_is_told_to_key_holders_only(
    closed: tuple[httpx.Client, Keys],
) -> None:
    client, made = closed
    headers = {"Authorization": f"Bearer {made.scoped[Scope.PREDICT]}"}
    for method, path, status in [("GET", "/nothing", 404), ("PATCH", "/jobs", 405)]:
        assert client.request(method, path).status_code == 401
        assert client.request(method, path, headers=headers).status_code == status


def test_a_web_socket_is_not_accepted(closed: tuple[httpx.Client, Keys]) -> None:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    assert closed[0].get("/jobs", headers=headers).status_code in {401, 403}


def test_the_table_of_the_documentation_is_the_table_of_the_code(
    operations: list[Operation],
) -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    row = re.compile(r"^\| `((?:GET|POST|PUT|DELETE) [^`]+)` \| (.+?) \|$", re.MULTILINE)
    rows = dict(row.findall(text))
    documented = {
        name: frozenset() if scopes == "open" else frozenset(scopes.replace("`", "").split(", "))
        for name, scopes in rows.items()
    }
    assert documented == {
        f"{method} {path}": scopes - {"admin"} or scopes for method, path, scopes in operations
    }


def ask_raw(client: httpx.Client, method: str, target: str, **headers: Any) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", client.base_url.port, timeout=30)
    connection._validate_path = lambda _: None  # type: ignore[attr-defined]  # noqa: SLF001
    try:
        connection.putrequest(method, target)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()
