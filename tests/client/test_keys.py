"""`tenfold keys`, and a client that has a key, or not."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from client import AccessDeniedError, AsyncTenfold, Tenfold
from client.cli.exit_codes import ExitCode
from client.runners import Connection
from tests.acceptance.conftest import Stack
from tests.client.conftest import Run

pytestmark = pytest.mark.timeout(300)


class Closed(NamedTuple):
    """A service of its own, because a key closes it for everybody, and its first key."""

    url: str
    folder: Path
    admin: str


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    stack = Stack(tmp_path_factory.mktemp("closed-stack"))
    # With neither an address nor a key: the database of this machine, before anything runs.
    made = subprocess.run(
        [sys.executable, "-m", "client", "keys", "create", "first", "--scope", "admin"],
        env=stack.environment | {"TENFOLD_URL": ""},
        cwd=stack.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "cannot be shown again" in made.stderr
    (admin,) = made.stdout.splitlines()
    try:
        stack.start_api()
        yield Closed(str(stack.client.base_url), stack.folder, admin)
    finally:
        stack.stop()


def test_the_life_of_a_key(closed: Closed, tenfold: Run) -> None:
    refused = tenfold("jobs", "list", TENFOLD_URL=closed.url)
    assert refused.returncode == ExitCode.REFUSED
    assert "TENFOLD_API_KEY" in refused.stderr
    known = {"TENFOLD_URL": closed.url, "TENFOLD_API_KEY": closed.admin}
    assert tenfold("jobs", "list", **known).returncode == ExitCode.OK
    created = tenfold("keys", "create", "eyes", "--scope", "predict", "--json", **known)
    predict = json.loads(created.stdout)
    narrow = tenfold("jobs", "list", "--api-key", predict["key"], TENFOLD_URL=closed.url)
    assert narrow.returncode == ExitCode.REFUSED
    assert "scope read" in narrow.stderr
    listed = tenfold("keys", **known).stdout
    assert "eyes" in listed
    for output in (narrow.stderr, listed):
        assert predict["key"].split("_", 2)[2] not in output
    revoked = tenfold("keys", "revoke", predict["id"], **known)
    assert revoked.returncode == ExitCode.OK, revoked.stderr
    here = tenfold("keys", "list", "--json", "--data", str(closed.folder), **known)
    rows = {row["name"]: row for row in json.loads(here.stdout)}
    assert rows["eyes"]["revoked_at"]
    assert not rows["first"]["revoked_at"]


def test_both_clients_send_the_key(closed: Closed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_API_KEY", closed.admin)
    with Tenfold(closed.url) as client:
        assert client.list_keys()[0].name == "first"
    monkeypatch.delenv("TENFOLD_API_KEY")
    assert asyncio.run(list_names(closed.url, closed.admin))[0] == "first"


async def list_names(url: str, key: str) -> list[str]:
    async with AsyncTenfold(url, api_key=key) as client:
        return [key.name for key in await client.list_keys()]


def test_a_key_that_is_not_taken_is_told_in_a_sentence(closed: Closed) -> None:
    with (
        Tenfold(closed.url, api_key="tenfold_0_0") as client,
        pytest.raises(AccessDeniedError) as caught,
    ):
        next(client.list_jobs())
    assert caught.value.code == "key_invalid"
    assert "tenfold keys list" in str(caught.value)


def test_a_connection_does_not_show_its_key() -> None:
    connection = Connection.resolve("http://127.0.0.1:1", "tenfold_a_secret", None, 1.0)
    assert "secret" not in repr(connection)
    assert connection.make_options()["headers"] == {"Authorization": "Bearer tenfold_a_secret"}


@pytest.mark.parametrize("key", ["tenfold_é", "two words", "line\nbreak"])
def test_what_cannot_be_a_key_is_refused_before_it_is_sent(key: str) -> None:
    with pytest.raises(ValueError, match="copy it again") as caught:
        Tenfold("http://127.0.0.1:1", api_key=key)
    assert key not in str(caught.value)


def test_a_key_without_a_service_is_made_in_the_folder_that_is_named(
    tenfold: Run, tmp_path: Path
) -> None:
    made = tenfold("keys", "create", "a", "--scope", "read", "--data", str(tmp_path / "new"))
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("tenfold_")
    wrong = tenfold("keys", "revoke", "nothing", "--data", str(tmp_path / "new"))
    assert wrong.returncode == ExitCode.REFUSED
    assert "no such API key" in wrong.stderr
