"""Webhooks, with a real receiver on loopback."""

import asyncio
import base64
import re
import runpy
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from service.webhook_addresses import is_public
from service.webhook_receiver import NotDeliveredError, WebhookReceiver, sign
from store import events, jobs
from store.clock import utc_now
from store.database import Database
from store.settings import Settings
from store.specs import JobRequest
from store.tables import WebhookDelivery
from tests.service.api_process import Api
from tests.service.serving import make_settings, serve
from tests.service.stand_in_worker import StandInWorker

KEY = b"thirty-two bytes, made for tests"
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
API_GUIDE = Path(__file__).parents[2] / "docs" / "api.md"


class Receiver:
    """An HTTP server that keeps what it gets, and answers with the codes it is given, then 204."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.status_codes: list[int] = []
        # While it is not set, requests get no answer.
        self.may_answer = threading.Event()
        self.may_answer.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.got.append((self.path, headers, body))
                receiver.may_answer.wait(30)
                self.send_response(receiver.status_codes.pop(0) if receiver.status_codes else 204)
                self.send_header("location", "/elsewhere")
                self.end_headers()

            do_GET = do_POST  # noqa: N815 -- named by the library

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook?room=1"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def close(self) -> None:
        self.may_answer.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def settings(tmp_path: Path, receiver: Receiver) -> Settings:
    return make_settings(
        tmp_path, webhook_url=receiver.url, webhook_secret=SECRET, webhook_allow_private=True
    )


@pytest.fixture
def read_webhook(tmp_path: Path) -> Callable[[str, dict[str, str], bytes], dict[str, Any]]:
    """The function by which the guide tells receivers to check a message."""
    found = re.search(r"```python\n(import base64.*?)```", API_GUIDE.read_text(), re.DOTALL)
    assert found is not None
    example = tmp_path / "example.py"
    example.write_text(found[1])
    function: Callable[..., dict[str, Any]] = runpy.run_path(str(example))["read_webhook"]
    return function


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 30 s"
        time.sleep(0.02)


def submit(database: Database) -> int:
    with database.writing() as session:
        return jobs.submit(session, JobRequest(dataset="shapes"))[0].id


def cancel(database: Database, job_id: int) -> None:
    with database.writing() as session:
        jobs.cancel(session, job_id)


def read_told(database: Database, job_id: int) -> list[str]:
    """Return the messages of the events that tell of the job's webhook."""
    with database.reading() as session:
        found = events.list_page(session, job_id)
    return [f"{event.kind}: {event.message}" for event in found if "webhook" in event.kind]


def is_nothing_left(database: Database) -> bool:
    with database.reading() as session:
        return session.scalar(select(WebhookDelivery.id)) is None


def test_each_end_of_a_job_is_told_and_signed(
    settings: Settings,
    receiver: Receiver,
    worker: StandInWorker,
    read_webhook: Callable[[str, dict[str, str], bytes], dict[str, Any]],
) -> None:
    with serve(settings) as client:
        ids = [submit(worker.database) for _ in range(3)]
        worker.succeed(worker.claim())
        worker.fail(worker.claim(), {"code": "out_of_memory", "message": "", "traceback": "x"})
        assert client.post(f"/jobs/{ids[2]}/cancel").is_success
        wait_until(lambda: is_nothing_left(worker.database))
        told = [client.get(f"/jobs/{job_id}/events").json()["items"][-1] for job_id in ids]
    messages = [read_webhook(SECRET, headers, body) for _, headers, body in receiver.got]
    assert [message["type"] for message in messages] == [
        "job.succeeded",
        "job.failed",
        "job.cancelled",
    ]
    assert [message["data"]["id"] for message in messages] == ids
    assert [message["data"]["error_code"] for message in messages] == [None, "out_of_memory", None]
    assert {path for path, _, _ in receiver.got} == {"/hook?room=1"}
    assert len({headers["webhook-id"] for _, headers, _ in receiver.got}) == 3
    assert {event["kind"] for event in told} == {"webhook_delivered"}
    _, headers, body = receiver.got[0]
    for forged in (body + b" ", body.replace(b"succeeded", b"cancelled")):
        with pytest.raises(ValueError, match="not from Tenfold"):
            read_webhook(SECRET, headers, forged)


def test_nothing_is_sent_unless_it_was_asked_for(tmp_path: Path, receiver: Receiver) -> None:
    silent = make_settings(tmp_path)
    database = Database(silent.resolved_database_url)
    with serve(silent):
        cancel(database, submit(database))
        assert is_nothing_left(database)
    database.dispose()
    assert receiver.got == []


def test_a_message_that_was_not_taken_comes_again_under_the_same_id(
    settings: Settings, receiver: Receiver, worker: StandInWorker
) -> None:
    receiver.status_codes = [500]
    with serve(settings):
        job_id = submit(worker.database)
        cancel(worker.database, job_id)
        wait_until(lambda: read_told(worker.database, job_id))
        with worker.database.writing() as session:
            session.execute(update(WebhookDelivery).values(due_at=utc_now()))
        wait_until(lambda: is_nothing_left(worker.database))
    assert read_told(worker.database, job_id) == [
        "webhook_failed: The webhook's receiver answered 500. It is sent again in 5 s.",
        "webhook_delivered: The webhook's receiver answered 204.",
    ]
    (_, first, body), (_, second, again) = receiver.got
    assert first["webhook-id"] == second["webhook-id"]
    assert body == again


def test_a_private_address_is_refused_and_the_job_says_so(
    tmp_path: Path, receiver: Receiver
) -> None:
    settings = make_settings(
        tmp_path, webhook_url=f"http://localhost:{receiver.port}", webhook_secret=SECRET
    )
    database = Database(settings.resolved_database_url)
    with serve(settings):
        job_id = submit(database)
        cancel(database, job_id)
        wait_until(lambda: read_told(database, job_id))
    [told] = read_told(database, job_id)
    database.dispose()
    assert "private address" in told
    assert "TENFOLD_WEBHOOK_ALLOW_PRIVATE=true" in told
    assert receiver.got == []


def test_no_end_is_lost_when_the_api_is_killed(tmp_path: Path, receiver: Receiver) -> None:
    """One while it is being sent, and one that ends while there is no API."""
    options = {
        "TENFOLD_WEBHOOK_URL": receiver.url,
        "TENFOLD_WEBHOOK_SECRET": SECRET,
        "TENFOLD_WEBHOOK_ALLOW_PRIVATE": "true",
        "TENFOLD_LEASE_SECONDS": "2",
    }
    receiver.may_answer.clear()
    api = Api(tmp_path, **options)
    database = Database(Settings(_env_file=None, data=tmp_path).resolved_database_url)
    try:
        api.wait_until_ready()
        first = submit(database)
        second = submit(database)
        cancel(database, first)
        wait_until(lambda: receiver.got)
        api.process.kill()
        api.read_output()
        cancel(database, second)
        receiver.may_answer.set()
        api = Api(tmp_path, **options)
        wait_until(lambda: is_nothing_left(database))
    finally:
        api.process.kill()
        api.read_output()
        database.dispose()
    ids = {headers["webhook-id"] for _, headers, _ in receiver.got}
    assert len(receiver.got) >= 3
    assert len(ids) == 2


def post(url: str, *, allow_private: bool = True, seconds: float = 10) -> int:
    async def send() -> int:
        receiver = WebhookReceiver(url, KEY, allow_private=allow_private, seconds=seconds)
        return await receiver.post("msg_1", "{}")

    return asyncio.run(send())


def test_a_message_is_signed_like_the_example_of_the_standard() -> None:
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, '{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("status_code", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(receiver: Receiver, status_code: int) -> None:
    receiver.status_codes = [status_code]
    with pytest.raises(NotDeliveredError, match="not followed"):
        post(receiver.url)
    assert [path for path, _, _ in receiver.got] == ["/hook?room=1"]


def test_a_receiver_that_does_not_answer_is_not_waited_for(receiver: Receiver) -> None:
    receiver.may_answer.clear()
    with pytest.raises(NotDeliveredError, match=r"within 0\.2 s"):
        post(receiver.url, seconds=0.2)


def test_a_receiver_that_is_not_there_is_told_of() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(NotDeliveredError, match="could not be reached"):
            post(f"http://127.0.0.1:{unused.getsockname()[1]}/")


def test_a_proxy_of_the_environment_is_not_asked(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert post(receiver.url) == 204


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make `hook.example` this machine, and return the names that were looked up."""
    names: list[str] = []
    original = socket.getaddrinfo

    def look_up(host: Any, *arguments: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name.endswith(".example"):
            names.append(name)
            name = "127.0.0.1" if len(names) == 1 else "192.0.2.1"
        return original(name, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return names


def test_the_address_that_was_checked_is_the_one_that_is_used(
    receiver: Receiver, looked_up: list[str]
) -> None:
    """A name that means another address when it is looked up again has no second chance."""
    assert post(f"http://hook.example:{receiver.port}/") == 204
    assert looked_up == ["hook.example"]
    [(_, headers, _)] = receiver.got
    assert headers["host"] == f"hook.example:{receiver.port}"


def test_a_name_with_a_public_and_a_private_address_is_refused(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, receiver.port))
        for address in ("8.8.8.8", "127.0.0.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(NotDeliveredError, match=r"private address 127\.0\.0\.1"):
        post(f"http://hook.example:{receiver.port}/", allow_private=False)
    assert receiver.got == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl for a certificate")
@pytest.mark.parametrize("name", ["hook.example", "other.example"])
@pytest.mark.usefixtures("looked_up")
def test_the_certificate_is_checked_for_the_name(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    options = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=test -days 2"
    names = ["-addext", "subjectAltName=DNS:hook.example"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(
        ["openssl", "req", *options.split(), *names, *files], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    receiver.server.socket = context.wrap_socket(receiver.server.socket, server_side=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    if name == "hook.example":
        assert post(f"https://{name}:{receiver.port}/") == 204
    else:
        with pytest.raises(NotDeliveredError, match="certificate"):
            post(f"https://{name}:{receiver.port}/")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.0.192",
        "0.0.0.0",  # noqa: S104 -- refused here
        "224.0.1.1",
        "255.255.255.255",
        "::",
        "::1",
        "::8.8.8.8",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::1",
        "fc00::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff0e::1",
        "2001:db8::1",
        "no address",
    ],
)
def test_what_is_not_of_the_internet_is_private(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_what_is_of_the_internet_is_not_private(address: str) -> None:
    assert is_public(address)


def test_the_secret_is_in_no_reply(settings: Settings) -> None:
    with serve(settings) as client:
        replies: list[httpx.Response] = [
            client.get(path) for path in ("/openapi.json", "/storage", "/metrics", "/health/ready")
        ]
    assert not [reply.url for reply in replies if SECRET in reply.text]
