"""What the client does when the way to the service is bad."""

import socket
import time

import pytest

from client import (
    ConnectionFailedError,
    NotFoundError,
    RetryPolicy,
    Tenfold,
    UnavailableError,
)
from tests.acceptance.conftest import Stack
from tests.client.unreliable_proxy import UnreliableProxy

# The first test waits for the service to start.
pytestmark = pytest.mark.timeout(300)
QUICK = RetryPolicy(attempts=4, first_wait_seconds=0.01)


def open_client(proxy: UnreliableProxy) -> Tenfold:
    return Tenfold(proxy.url, retries=QUICK)


def test_a_submission_whose_reply_is_lost_makes_one_job(idle_stack: Stack) -> None:
    with UnreliableProxy(str(idle_stack.client.base_url)) as proxy, open_client(proxy) as client:
        before = len(list(client.list_jobs()))
        proxy.faults.extend(["lose_reply", "lose_reply"])
        client.submit_job(dataset="shapes")
        assert proxy.requests[-3:] == ["POST /jobs"] * 3
        assert len(list(client.list_jobs())) == before + 1


def test_two_submissions_make_two_jobs(idle_stack: Stack) -> None:
    with Tenfold(str(idle_stack.client.base_url)) as client:
        assert client.submit_job(dataset="shapes").id != client.submit_job(dataset="shapes").id


def test_a_key_of_ones_own_makes_one_job_across_clients(idle_stack: Stack) -> None:
    url = str(idle_stack.client.base_url)
    with Tenfold(url) as first, Tenfold(url) as second:
        job = first.submit_job(dataset="shapes", idempotency_key="night-of-the-7th")
        again = second.submit_job(dataset="shapes", idempotency_key="night-of-the-7th")
    assert again.id == job.id


def test_a_busy_service_is_asked_again(proxy: UnreliableProxy) -> None:
    with open_client(proxy) as client:
        proxy.faults.extend(["busy", "busy"])
        assert client.check_readiness().status == "ready"
        assert len(proxy.requests) == 3


def test_retry_after_is_waited_for(proxy: UnreliableProxy) -> None:
    with open_client(proxy) as client:
        proxy.retry_after = "1"
        proxy.faults.append("busy")
        asked = time.monotonic()
        client.check_readiness()
        assert time.monotonic() - asked >= 1


def test_a_retry_after_beyond_patience_is_raised_at_once(proxy: UnreliableProxy) -> None:
    with open_client(proxy) as client:
        proxy.retry_after = "3600"
        proxy.faults.append("busy")
        with pytest.raises(UnavailableError) as caught:
            client.check_readiness()
    assert caught.value.retry_after_seconds == 3600
    assert len(proxy.requests) == 1


def test_a_service_that_stays_busy_is_given_up(proxy: UnreliableProxy) -> None:
    with open_client(proxy) as client:
        proxy.faults.extend(["busy"] * 9)
        with pytest.raises(UnavailableError) as caught:
            client.check_readiness()
    assert caught.value.code == "overloaded"
    assert len(proxy.requests) == QUICK.attempts


def test_a_resume_that_may_have_arrived_is_not_sent_again(idle_stack: Stack) -> None:
    """Sent twice it would be refused, and a job that was resumed would look as if it were not."""
    with UnreliableProxy(str(idle_stack.client.base_url)) as proxy, open_client(proxy) as client:
        job = client.submit_job(dataset="shapes").pause()
        proxy.faults.append("lose_reply")
        with pytest.raises(ConnectionFailedError):
            job.resume()
        assert proxy.requests[-1] == f"POST /jobs/{job.id}/resume"
        assert job.refresh().status == "queued"


def test_a_deletion_whose_reply_is_lost_has_succeeded(idle_stack: Stack) -> None:
    with UnreliableProxy(str(idle_stack.client.base_url)) as proxy, open_client(proxy) as client:
        job = client.submit_job(dataset="shapes").cancel()
        proxy.faults.append("lose_reply")
        job.delete()
        with pytest.raises(NotFoundError):
            job.refresh()
        with pytest.raises(NotFoundError):
            job.delete()


def test_nobody_at_the_address_is_told_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with Tenfold(url, retries=QUICK) as client, pytest.raises(ConnectionFailedError) as caught:
        client.check_readiness()
    assert url in str(caught.value)
    assert "tenfold up" in str(caught.value)


def test_waits_grow_and_differ() -> None:
    policy = RetryPolicy(attempts=10, first_wait_seconds=1, longest_wait_seconds=8)
    error = ConnectionFailedError("http://127.0.0.1:1", "refused", was_sent=False)
    for attempt, longest in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 8)]:
        waits = [
            policy.wait_before_next(attempt, error, is_repeatable=True) or 0 for _ in range(50)
        ]
        assert longest / 2 <= min(waits) < max(waits) <= longest
    assert policy.wait_before_next(10, error, is_repeatable=True) is None
