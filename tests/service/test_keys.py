"""`/keys`, and what a key is worth from its making to its end."""

import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from service import key_ring
from service.key_ring import TokenBucket
from store import keys
from store.database import Database
from store.keys import Scope
from store.settings import Settings
from store.tables import ApiKey
from tests.service.api_process import Api
from tests.service.serving import encode, make_pixels, make_settings, publish, serve

DEADLINE_SECONDS = 20
JOB = {"dataset": "shapes", "epochs": 1}


def make_key(settings: Settings, *scopes: Scope) -> tuple[str, dict[str, str]]:
    """Return the id of a new key, and the headers of its requests."""
    database = Database(settings.resolved_database_url)
    with database.writing() as session:
        row, key = keys.create(session, "test", scopes or [Scope.ADMIN])
        key_id = row.id
    database.dispose()
    return key_id, {"Authorization": f"Bearer {key}"}


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def admin(settings: Settings) -> dict[str, str]:
    return make_key(settings)[1]


@pytest.fixture
def closed(settings: Settings, admin: dict[str, str]) -> Iterator[httpx.Client]:
    with serve(settings) as client:
        client.headers.update(admin)
        yield client


def test_a_key_is_made_listed_and_revoked(closed: httpx.Client) -> None:
    made = closed.post("/keys", json={"name": "ci", "scopes": ["predict"], "expires_in_days": 7})
    assert made.status_code == 201
    assert made.headers["Cache-Control"] == "no-store"
    key = made.json()
    listed = closed.get("/keys")
    assert key["key"].split("_", 2)[2] not in listed.text
    (row,) = [item for item in listed.json()["items"] if item["id"] == key["id"]]
    assert row == {name: value for name, value in key.items() if name != "key"}
    headers = {"Authorization": f"Bearer {key['key']}"}
    assert httpx.get(closed.base_url.join("/v2"), headers=headers).status_code == 200
    revoked = closed.post(f"/keys/{key['id']}/revoke")
    assert revoked.json()["revoked_at"] is not None
    wait_for(lambda: httpx.get(closed.base_url.join("/v2"), headers=headers).status_code == 401)
    assert "revoked" in httpx.get(closed.base_url.join("/v2"), headers=headers).json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"name": "ci", "scopes": []},
        {"name": "ci", "scopes": ["root"]},
        {"name": "ci"},
        {"name": "", "scopes": ["read"]},
        {"name": "a\nb", "scopes": ["read"]},
        {"name": "ci", "scopes": ["read"], "expires_in_days": 0},
        {"name": "ci", "scopes": ["read"], "secret": "mine"},
    ],
)
def test_a_key_that_cannot_be_right_is_refused(closed: httpx.Client, body: object) -> None:
    assert closed.post("/keys", json=body).status_code == 422


def test_a_key_that_does_not_exist_cannot_be_revoked(closed: httpx.Client) -> None:
    assert closed.post(f"/keys/{'0' * 12}/revoke").json()["code"] == "key_not_found"
    assert closed.post("/keys/..%2f..%2fjobs/revoke").status_code in {404, 422}


def test_a_key_made_by_another_process_is_taken_at_once(
    closed: httpx.Client, settings: Settings
) -> None:
    _, headers = make_key(settings, Scope.READ)
    time.sleep(key_ring._SHORTEST_REFRESH_SECONDS)  # noqa: SLF001 -- what the promise is made of
    assert closed.get("/jobs", headers=headers).status_code == 200


def test_the_first_key_closes_a_service_that_was_open(
    client: httpx.Client, settings: Settings
) -> None:
    assert client.get("/jobs").status_code == 200
    key_id, headers = make_key(settings)
    wait_for(lambda: client.get("/jobs").status_code == 401)
    # Not even the end of the last key opens it again.
    assert client.post(f"/keys/{key_id}/revoke", headers=headers).status_code == 200
    wait_for(lambda: client.get("/jobs", headers=headers).status_code == 401)
    assert client.get("/jobs").status_code == 401


def test_a_service_without_keys_on_its_own_machine_is_open(client: httpx.Client) -> None:
    assert client.post("/jobs", json=JOB).status_code in {201, 422}
    assert client.get("/keys").json() == {"items": []}


def test_a_reachable_service_is_closed_also_without_keys(tmp_path: Path) -> None:
    """As when the last key is revoked while it runs; it does not start like that."""
    settings = make_settings(tmp_path, host="0.0.0.0")  # noqa: S104
    with serve(settings) as client:
        assert client.get("/jobs").status_code == 401
        assert client.get("/health/ready").status_code == 200


def test_open_means_open(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, open=True)
    make_key(settings)
    with serve(settings) as client:
        assert client.get("/jobs").status_code == 200


def test_the_last_use_is_kept(
    settings: Settings, admin: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_ring, "REFRESH_INTERVAL_SECONDS", 0.05)
    monkeypatch.setattr(key_ring, "USES_INTERVAL_SECONDS", 0.1)
    with serve(settings) as client:
        (before,) = client.get("/keys", headers=admin).json()["items"]
        assert before["last_used_at"] is None

        def is_noted() -> bool:
            (row,) = client.get("/keys", headers=admin).json()["items"]
            return row["last_used_at"] is not None

        wait_for(is_noted)


def test_the_last_use_is_kept_when_the_service_stops(
    settings: Settings, admin: dict[str, str]
) -> None:
    with serve(settings) as client:
        client.get("/jobs", headers=admin)
    database = Database(settings.resolved_database_url)
    with database.reading() as session:
        assert session.scalars(select(ApiKey.last_used_at)).one() is not None
    database.dispose()


def test_predictions_need_the_key_too(settings: Settings) -> None:
    publish(settings)
    picture = encode(make_pixels(1))
    _, predict = make_key(settings, Scope.PREDICT)
    _, read = make_key(settings, Scope.READ)
    with serve(settings) as client:
        for headers, status in [({}, 401), (read, 403), (predict, 200)]:
            assert client.post("/predict", content=picture, headers=headers).status_code == status


def test_a_key_has_so_many_requests_a_second(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, key_requests_per_second=0.4)
    _, one = make_key(settings, Scope.READ)
    _, other = make_key(settings, Scope.READ)
    with serve(settings) as client:
        replies = [client.get("/jobs", headers=one) for _ in range(4)]
        assert [reply.status_code for reply in replies[:2]] == [200, 200]
        assert replies[-1].status_code == 429
        assert replies[-1].json()["code"] == "too_many_requests"
        assert 1 <= int(replies[-1].headers["Retry-After"]) <= 3
        assert client.get("/jobs", headers=other).status_code == 200
        assert client.get("/health/ready", headers=one).status_code == 200


def test_a_bucket_lets_the_average_through_and_a_burst() -> None:
    bucket = TokenBucket(per_second=1000.0, capacity=3.0)
    bucket.per_second = 1e-9
    assert [bucket.take() == 0 for _ in range(4)] == [True, True, True, False]
    bucket.per_second = 1e9
    assert bucket.take() == 0


def test_a_key_has_so_many_jobs_in_the_queue(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, key_queued_jobs=2)
    _, one = make_key(settings, Scope.TRAIN)
    _, other = make_key(settings, Scope.TRAIN)
    with serve(settings) as client:
        made = [
            client.post("/jobs", json=JOB, headers=one | {"Idempotency-Key": str(number)})
            for number in range(2)
        ]
        assert [reply.status_code for reply in made] == [201, 201]
        refused = client.post("/jobs", json=JOB, headers=one)
        assert refused.status_code == 429
        assert refused.json()["code"] == "too_many_queued_jobs"
        assert int(refused.headers["Retry-After"]) > 0
        # The same job again is no further one; another key has its own places.
        again = client.post("/jobs", json=JOB, headers=one | {"Idempotency-Key": "0"})
        assert again.json()["id"] == made[0].json()["id"]
        assert client.post("/jobs", json=JOB, headers=other).status_code == 201
        client.post(f"/jobs/{made[1].json()['id']}/pause", headers=one).raise_for_status()
        assert client.post("/jobs", json=JOB, headers=one).status_code == 429
        client.post(f"/jobs/{made[0].json()['id']}/cancel", headers=one)
        assert client.post("/jobs", json=JOB, headers=one).status_code == 201


def test_a_key_is_in_no_log_no_event_and_no_error(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    _, headers = make_key(settings)
    key = headers["Authorization"].partition(" ")[2]
    secret = key.split("_", 2)[2]
    with serve(settings) as client:
        wrong = {"Authorization": f"Bearer {key[:-4]}AAAA"}
        replies = [
            client.post("/jobs", json=JOB, headers=headers),
            client.post("/jobs", content=b"{", headers=headers),
            client.get("/jobs", headers=wrong),
            client.get("/jobs", headers={"Authorization": f"Basic {key}"}),
            client.get("/jobs", headers={"Authorization": key}),
            client.get("/jobs/1/events", headers=headers),
            client.get("/metrics", headers=headers),
            client.get("/nothing", headers=headers),
        ]
    for reply in replies:
        assert secret[:20] not in reply.text
        assert secret[:20] not in str(reply.headers)
    assert secret[:20] not in caplog.text


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Api]]:
    started: list[Api] = []

    def start(**settings: str) -> Api:
        started.append(Api(tmp_path, **settings))
        return started[-1]

    yield start
    for api in started:
        api.process.kill()
        api.process.communicate()


def test_a_reachable_service_does_not_start_open(start: Callable[..., Api], tmp_path: Path) -> None:
    everywhere = {"TENFOLD_HOST": "0.0.0.0"}  # noqa: S104
    refused = start(**everywhere)
    assert refused.process.wait(60) == 1
    output = refused.read_output()
    assert "tenfold keys create" in output
    assert "TENFOLD_OPEN=true" in output
    assert "Traceback" not in output
    opened = start(**everywhere, TENFOLD_OPEN="true")
    opened.wait_until_ready()
    assert httpx.get(f"{opened.url}/jobs").status_code == 200
    opened.process.terminate()
    assert "without a key" in opened.read_output()
    made = subprocess.run(
        [sys.executable, "-m", "store", "keys", "create", "a", "--scope", "read", "--json"],
        env=refused.environment,
        capture_output=True,
        check=True,
        cwd=tmp_path,
    )
    key = json.loads(made.stdout)["key"]
    closed = start(**everywhere)
    closed.wait_until_ready()
    assert httpx.get(f"{closed.url}/jobs").status_code == 401
    headers = {"Authorization": f"Bearer {key}"}
    assert httpx.get(f"{closed.url}/jobs", headers=headers).status_code == 200
