"""Refusals and strange replies become exceptions that say what to do."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import client
from client import (
    ConflictError,
    InvalidRequestError,
    Job,
    NotFoundError,
    ProblemError,
    RetryPolicy,
    Tenfold,
    TenfoldError,
    UnavailableError,
    UnexpectedReplyError,
)
from tests.client.unreliable_proxy import UnreliableProxy

# The first test waits for the service to start.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def stranger() -> Iterator[str]:
    """The address of another program that speaks HTTP: 200 for /jobs/1, 502 for the rest."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/jobs/1" else 502)
            self.end_headers()
            self.wfile.write(b"<html>It works!</html>")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing to tell."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_every_wrong_field_is_named(client: Tenfold) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        client.submit_job(epochs=0, learning_rate=-1.0)
    error = caught.value
    assert (error.code, error.status) == ("invalid_request", 422)
    assert {field.field for field in error.errors} == {"epochs", "learning_rate"}
    assert {field.place for field in error.errors} == {"body"}
    assert error.title
    assert "epochs" in str(error)


def test_what_does_not_exist_and_what_does_not_fit_are_told_apart(
    client: Tenfold, endless_job: Job
) -> None:
    with pytest.raises(NotFoundError) as missing:
        client.get_job(4711)
    assert missing.value.code == "job_not_found"
    with pytest.raises(ConflictError) as unfit:
        endless_job.delete()
    assert unfit.value.code == "job_not_ended"


def test_a_name_with_a_slash_stays_one_name(client: Tenfold) -> None:
    with pytest.raises(ProblemError) as caught:
        client.get_model("../jobs")
    assert caught.value.status in {404, 422}


def test_another_program_at_the_address_is_recognised(stranger: str) -> None:
    with Tenfold(stranger, retries=RetryPolicy(attempts=1)) as lost:
        with pytest.raises(UnexpectedReplyError, match="It works!"):
            lost.get_job(1)
        with pytest.raises(UnavailableError) as caught:
            lost.get_job(2)
    assert caught.value.code == "http_502"


def test_a_reply_of_another_version_is_recognised(proxy: UnreliableProxy) -> None:
    with Tenfold(proxy.url) as old:
        proxy.faults.append(lambda body: body.replace(b'"workers_alive"', b'"workers"'))
        with pytest.raises(UnexpectedReplyError, match="workers_alive"):
            old.check_readiness()


def test_members_that_a_newer_service_adds_are_kept(proxy: UnreliableProxy) -> None:
    with Tenfold(proxy.url) as old:
        proxy.faults.append(lambda body: body.replace(b"{", b'{"moon_phase": "full", ', 1))
        assert old.check_readiness().model_extra == {"moon_phase": "full"}


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "http://", "http://[::1"])
def test_what_is_no_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match=r"http://127\.0\.0\.1:8000"):
        Tenfold(url)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"TENFOLD_PORT": "9000"}, "http://127.0.0.1:9000"),
        ({"TENFOLD_HOST": "0.0.0.0"}, "http://127.0.0.1:8000"),  # noqa: S104
        ({"TENFOLD_HOST": "::1"}, "http://[::1]:8000"),
        ({"TENFOLD_URL": "https://gpu.example/tenfold/"}, "https://gpu.example/tenfold"),
    ],
)
def test_the_address_is_taken_from_the_settings_of_the_service(
    variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TENFOLD_URL", "TENFOLD_HOST", "TENFOLD_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with Tenfold() as resolved:
        assert resolved.url == expected


def test_every_exception_of_the_package_is_one_of_its_tree() -> None:
    exported = [getattr(client, name) for name in client.__all__ if name.endswith("Error")]
    assert len(exported) > 10
    assert all(issubclass(error, TenfoldError) for error in exported)
