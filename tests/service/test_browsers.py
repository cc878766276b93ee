"""What pages in a browser may do with the service, and what its replies forbid them."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from service.browser_guard import BrowserGuard
from service.security_headers import API_HEADERS
from store.settings import Settings
from tests.service.serving import make_settings, serve

APP = "https://app.example.org"


@pytest.fixture(scope="module")
def open_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service without keys, on its own machine."""
    folder = tmp_path_factory.mktemp("open")
    with serve(make_settings(folder, allowed_hosts=("lab.example.org",))) as client:
        yield client


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service that pages of one other origin may use."""
    with serve(make_settings(tmp_path_factory.mktemp("shared"), cors_origins=(APP,))) as client:
        yield client


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example"],
)
def test_a_name_that_somebody_else_owns_is_not_answered(
    open_service: httpx.Client, host: str
) -> None:
    """DNS rebinding: the name of an attacker's page resolves to this machine."""
    for method, path in [("GET", "/jobs"), ("POST", "/predict"), ("GET", "/keys"), ("GET", "/x")]:
        reply = open_service.request(method, path, headers={"Host": host})
        assert reply.status_code == 403
        assert reply.json()["code"] == "host_not_allowed"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost:8000", "LOCALHOST", "[::1]:8000", "192.168.1.7", "api:8000",
        "tenfold.localhost", "lab.example.org", "Lab.Example.Org:443", "lab.example.org.",
    ],
)  # fmt: skip
def test_addresses_and_own_names_are_answered(open_service: httpx.Client, host: str) -> None:
    assert open_service.get("/jobs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:1", "file://", "", "http://localhost"],
)
def test_a_page_from_elsewhere_changes_nothing(open_service: httpx.Client, origin: str) -> None:
    headers = {"Origin": origin, "Content-Type": "text/plain"}
    for method, path in [("POST", "/jobs"), ("DELETE", "/jobs/1"), ("POST", "/keys")]:
        reply = open_service.request(method, path, headers=headers, content=b"{}")
        assert reply.status_code == 403
        assert reply.json()["code"] == "origin_not_allowed"


def test_the_services_own_page_and_programs_may_change_things(open_service: httpx.Client) -> None:
    own = str(open_service.base_url).rstrip("/")
    for headers in ({"Origin": own}, {}):
        assert open_service.delete("/jobs/1", headers=headers).status_code == 404


def test_a_page_behind_a_proxy_is_known_by_its_name() -> None:
    guard = BrowserGuard((), ())
    assert guard.accepts_origin("POST", "https://lab", "lab")
    assert guard.accepts_origin("POST", "http://[::1]:8000", "[::1]:8000")
    assert not guard.accepts_origin("POST", "https://lab.evil", "lab")
    assert not guard.accepts_origin("POST", "https://lab@evil", "lab")


def test_no_page_from_elsewhere_may_read_by_default(open_service: httpx.Client) -> None:
    for headers in ({"Origin": APP}, {"Origin": APP, "Access-Control-Request-Method": "GET"}):
        for method in ("GET", "OPTIONS"):
            reply = open_service.request(method, "/jobs", headers=headers)
            assert not [name for name in reply.headers if name.startswith("access-control-")]


def test_pages_of_an_origin_that_was_named_may_use_the_api(shared: httpx.Client) -> None:
    preflight = shared.options(
        "/jobs",
        headers={
            "Origin": APP,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, content-type, idempotency-key",
        },
    )
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == APP
    reply = shared.get("/jobs", headers={"Origin": APP})
    assert reply.headers["Access-Control-Allow-Origin"] == APP
    assert "access-control-allow-credentials" not in reply.headers
    assert shared.delete("/jobs/1", headers={"Origin": APP}).status_code == 404
    other = shared.get("/jobs", headers={"Origin": "https://other.example.org"})
    assert "access-control-allow-origin" not in other.headers
    refused = shared.delete("/jobs/1", headers={"Origin": "https://other.example.org"})
    assert refused.status_code == 403


@pytest.mark.parametrize(
    "origins", ["*", "app.example.org", "https://app.example.org/", "https://a, x", "ftp://a"]
)
def test_what_is_no_origin_is_refused_at_the_start(
    origins: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENFOLD_CORS_ORIGINS", origins)
    with pytest.raises(ValueError, match=re.escape("https://example.org")):
        Settings(_env_file=None)


def test_lists_in_settings_have_commas_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_CORS_ORIGINS", f"{APP}, http://localhost:3000,")
    monkeypatch.setenv("TENFOLD_ALLOWED_HOSTS", "")
    settings = Settings(_env_file=None)
    assert settings.cors_origins == (APP, "http://localhost:3000")
    assert settings.allowed_hosts == ()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"), ("GET", "/docs"), ("GET", "/jobs"), ("GET", "/nothing"), ("PATCH", "/jobs"),
        ("GET", "/dashboard/scripts/main.js"), ("GET", "/openapi.json"), ("POST", "/predict"),
        ("GET", "/metrics"), ("GET", "/health/ready"), ("GET", "/docs/swagger-ui-bundle.js"),
        ("GET", "/dashboard/nothing"), ("GET", "/v2/models/nothing"), ("POST", "/jobs"),
    ],
)  # fmt: skip
def test_every_reply_tells_the_browser_what_it_may_not(
    open_service: httpx.Client, method: str, path: str
) -> None:
    reply = open_service.request(method, path)
    for name in API_HEADERS:
        assert len(reply.headers.get_list(name)) == 1, name
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    policy = reply.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    scripts = policy.partition("script-src")[2].partition(";")[0]
    assert "unsafe" not in scripts
    assert "*" not in policy


def test_a_refusal_has_the_headers_too(open_service: httpx.Client) -> None:
    reply = open_service.get("/jobs", headers={"Host": "evil.example"})
    assert reply.status_code == 403
    assert reply.headers["X-Frame-Options"] == "DENY"


def test_no_reply_sets_a_cookie_or_names_the_server(open_service: httpx.Client) -> None:
    for path in ("/", "/docs", "/jobs", "/nothing"):
        headers = open_service.get(path).headers
        assert "set-cookie" not in headers
        assert "server" not in headers
        assert "x-powered-by" not in headers


def test_a_defect_has_the_headers_too(tmp_path: Path) -> None:
    """An application that was never started fails at everything."""
    app = create_app(make_settings(tmp_path))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get("/jobs")

    reply = asyncio.run(ask())
    assert reply.status_code == 500
    assert reply.json()["code"] == "internal_error"
    assert set(API_HEADERS) <= set(reply.headers)
