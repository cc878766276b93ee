"""Clients that are slow, send too much of a header, or come in thousands."""

import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.http_protocol import LINGER_BYTES
from tests.service.serving import encode, make_pixels, make_settings, publish, serve

PNG = {"Content-Type": "image/png"}
UPLOAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Of a service with short deadlines."""
    settings = make_settings(
        tmp_path_factory.mktemp("data"),
        limit_header_seconds=1.0,
        limit_upload_seconds=4.0,
        limit_header_bytes=2_000,
        limit_reply_seconds=1.0,
    )
    publish(settings)
    with serve(settings) as client:
        yield client


def connect(client: httpx.Client) -> socket.socket:
    return socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=30)


def read_to_end(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def check_refused(answer: bytes, status: int, code: str) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer
    assert b"application/problem+json" in head
    assert b"connection: close" in head.lower()
    assert f'"code": "{code}"'.encode() in body


@pytest.mark.parametrize(
    ("start", "code"),
    [
        (b"GET /health/live HTTP/1.1\r\nHost: x\r\n", "header_too_slow"),
        (b"GET /heal", "header_too_slow"),
        (UPLOAD + b"Content-Length: 900\r\n\r\n\x89PNG", "upload_too_slow"),
        (UPLOAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n\x89", "upload_too_slow"),
    ],
)
def test_a_request_that_does_not_come_in_time_is_refused(
    client: httpx.Client, start: bytes, code: str
) -> None:
    with connect(client) as connection:
        connection.sendall(start)
        check_refused(read_to_end(connection), 408, code)


def test_an_upload_in_drops_is_cut_off_after_its_whole_time(client: httpx.Client) -> None:
    with connect(client) as connection:
        connection.sendall(UPLOAD + b"Content-Length: 60000000\r\n\r\n")
        connection.settimeout(0.05)
        answer, deadline = b"", time.monotonic() + 60
        while not answer and time.monotonic() < deadline:
            connection.sendall(bytes(10_000))  # faster than the slowest allowed
            try:
                answer = connection.recv(65_536)
            except TimeoutError:
                continue
    check_refused(answer, 408, "upload_too_slow")


def test_a_connection_on_which_nothing_comes_is_closed(client: httpx.Client) -> None:
    with connect(client) as connection:
        assert read_to_end(connection) == b""


@pytest.mark.parametrize(
    "header",
    [
        b"GET /" + b"a" * 3_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 3_000,
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 700 + b"\r\n",
    ],
)
def test_a_large_header_is_refused(client: httpx.Client, header: bytes) -> None:
    with connect(client) as connection:
        connection.sendall(header)
        answer = read_to_end(connection)
    check_refused(answer, 431, "header_too_large")
    assert b"2,000 bytes" in answer


def test_bytes_that_are_no_http_are_refused(client: httpx.Client) -> None:
    with connect(client) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00 this is TLS\r\n\r\n")
        check_refused(read_to_end(connection), 400, "malformed_request")


def count_refusals(client: httpx.Client, code: str) -> float:
    sample = f'tenfold_http_refusals_total{{code="{code}"}} '
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.removeprefix(sample)) for line in lines if line.startswith(sample))


def ask_for_much(client: httpx.Client) -> socket.socket:
    """Ask for more than all buffers between the two hold, and end with the last reply."""
    connection = connect(client)
    request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n"
    connection.sendall((request + b"\r\n") * 99 + request + b"Connection: close\r\n\r\n")
    return connection


def test_who_reads_nothing_of_a_reply_is_cut_off(client: httpx.Client) -> None:
    before = count_refusals(client, "reply_not_read")
    with ask_for_much(client):
        deadline = time.monotonic() + 60
        while count_refusals(client, "reply_not_read") == before:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_who_reads_a_reply_slowly_gets_all_of_it(client: httpx.Client) -> None:
    size = len(client.get("/openapi.json").content)
    started, received = time.monotonic(), 0
    with ask_for_much(client) as connection:
        while part := connection.recv(1 << 20):
            received += len(part)
            time.sleep(0.05)  # the pace of this client
    assert received > 100 * size
    assert time.monotonic() - started > 1.0


def test_what_is_refused_before_a_request_is_counted(client: httpx.Client) -> None:
    def count() -> float:
        return count_refusals(client, "malformed_request")

    before = count()
    for _ in range(3):
        with connect(client) as connection:
            connection.sendall(b"this is no HTTP\r\n\r\n")
            check_refused(read_to_end(connection), 400, "malformed_request")
    assert count() - before == 3


def test_who_goes_on_sending_after_the_answer_is_cut_off(client: httpx.Client) -> None:
    """The body is refused by its announced length; most of it must not be read."""
    sent = 0
    with connect(client) as connection:
        connection.sendall(b"POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        with pytest.raises(ConnectionError):
            while sent < 4 * LINGER_BYTES:
                connection.sendall(bytes(65_536))
                sent += 65_536
    assert sent < 4 * LINGER_BYTES


def test_who_reads_the_answer_only_after_the_last_byte_gets_it(client: httpx.Client) -> None:
    body = 16 << 20
    with connect(client) as connection:
        connection.sendall(b"POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % body)
        for _ in range(body >> 16):
            connection.sendall(bytes(1 << 16))
        check_refused(read_to_end(connection), 413, "body_too_large")


def test_a_connection_is_kept_after_an_early_answer_where_little_is_to_come(
    client: httpx.Client,
) -> None:
    with connect(client) as connection:
        connection.sendall(b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n")
        answer = connection.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 404")
        assert b"connection: close" not in answer.lower()
        connection.sendall(bytes(60_000))
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"HTTP/1.1 200" in read_to_end(connection)


def test_requests_on_one_connection_are_all_answered(client: httpx.Client) -> None:
    for _ in range(3):
        assert client.get("/health/live").is_success


@pytest.mark.timeout(300)
def test_a_thousand_slow_connections_keep_nobody_from_being_answered(tmp_path: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4_096:
        pytest.skip("the system allows too few open files")
    # Fewer connections than there are slow clients, and no deadline that would help.
    settings = make_settings(tmp_path, limit_connections=500, limit_header_seconds=3_600)
    publish(settings)
    slow: list[socket.socket] = []
    with serve(settings) as client:
        try:
            for number in range(1_000):
                slow.append(connect(client))
                slow[-1].sendall(
                    b"POST /predict HTTP/1.1\r\nHost: x\r\nX-Slow: "[: 10 + number % 30]
                )
                if number % 100 == 99:
                    assert client.get("/health/ready").json()["status"] == "ready"
                    reply = client.post("/predict", content=encode(make_pixels(1)), headers=PNG)
                    assert reply.is_success, reply.text
        finally:
            for connection in slow:
                connection.close()
