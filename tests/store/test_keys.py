"""API keys: kept as hashes, shown once, refused once revoked."""

import ast
import inspect
import json
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from store import keys
from store.__main__ import main
from store.clock import utc_now
from store.database import Database
from store.errors import InvalidRequestError, NotFoundError
from store.keys import Scope
from store.tables import ApiKey


def test_the_database_never_holds_the_secret(database: Database, tmp_path: Path) -> None:
    with database.writing() as session:
        row, key = keys.create(session, "ci", [Scope.TRAIN])
    presented = keys.read_key(key)
    assert presented is not None
    assert presented.id == row.id
    assert keys.is_secret_of(presented.secret, row.secret_sha256)
    for file in tmp_path.glob("tenfold.db*"):
        assert presented.secret.encode() not in file.read_bytes()


def test_another_secret_is_not_taken(database: Database) -> None:
    with database.writing() as session:
        row, key = keys.create(session, "ci", [Scope.TRAIN])
        _, other = keys.create(session, "ci", [Scope.TRAIN])
    assert key != other
    for text in (other, key[:-1], key + "A", key[:-1] + chr(ord(key[-1]) ^ 1)):
        presented = keys.read_key(text)
        assert presented is not None
        assert not keys.is_secret_of(presented.secret, row.secret_sha256)


@pytest.mark.parametrize(
    "text", ["", "tenfold", "tenfold_", "tenfold__x", "tenfold_abc_", "other_abc_def", "Bearer x"]
)
def test_what_is_no_key_is_not_read_as_one(text: str) -> None:
    assert keys.read_key(text) is None


def test_the_secret_is_compared_in_constant_time() -> None:
    """No test can measure it on a busy machine, so the comparison itself is looked at."""
    tree = ast.parse(inspect.getsource(keys.is_secret_of))
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert "hmac.compare_digest" in [ast.unparse(call) for call in calls]
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Compare)]


def test_secrets_have_256_bits_and_ids_are_told_apart(database: Database) -> None:
    with database.writing() as session:
        made = [keys.create(session, "ci", [Scope.READ])[1] for _ in range(50)]
    presented = [keys.read_key(key) for key in made]
    assert len({key.id for key in presented if key}) == len(made)
    assert {len(key.secret) for key in presented if key} == {43}


@pytest.mark.parametrize("name", ["", " ci", "a" * 65, "ci\nroot", "\x1b[31m", "<b>"])
def test_a_name_that_could_confuse_a_reader_is_refused(database: Database, name: str) -> None:
    with pytest.raises(InvalidRequestError), database.writing() as session:
        keys.create(session, name, [Scope.READ])


def test_a_key_without_a_scope_or_with_a_wrong_life_is_refused(database: Database) -> None:
    named = "read, predict, train, admin"
    with pytest.raises(InvalidRequestError, match=named), database.writing() as session:
        keys.create(session, "ci", [])
    for days in (0, -1, 3651):
        with pytest.raises(InvalidRequestError, match="3650"), database.writing() as session:
            keys.create(session, "ci", [Scope.READ], expires_in_days=days)


def test_revoking_twice_keeps_the_first_moment(database: Database) -> None:
    with database.writing() as session:
        row, _ = keys.create(session, "ci", [Scope.READ])
        first = keys.revoke(session, row.id).revoked_at
        assert first is not None
        assert keys.revoke(session, row.id).revoked_at == first
    with pytest.raises(NotFoundError), database.writing() as session:
        keys.revoke(session, "0" * 12)


def test_a_use_is_kept_and_never_goes_back(database: Database) -> None:
    now = utc_now()
    with database.writing() as session:
        row, _ = keys.create(session, "ci", [Scope.READ])
    for moment in (now, now - timedelta(hours=1)):
        with database.writing() as session:
            keys.note_uses(session, {row.id: moment})
    with database.reading() as session:
        assert session.scalars(select(ApiKey.last_used_at)).one() == now


def test_revoked_and_expired_keys_are_not_usable(database: Database) -> None:
    with database.writing() as session:
        assert not keys.has_usable(session)
        row, _ = keys.create(session, "ci", [Scope.READ], expires_in_days=1)
        assert keys.has_usable(session)
        row.expires_at = utc_now() - timedelta(seconds=1)
        assert not keys.has_usable(session)
        other, _ = keys.create(session, "ci", [Scope.READ])
        assert keys.has_usable(session)
        keys.revoke(session, other.id)
        assert not keys.has_usable(session)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TENFOLD_DATA", str(tmp_path / "new"))
    return tmp_path / "new"


@pytest.mark.usefixtures("data")
def test_the_first_key_is_made_without_the_service(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["keys", "create", "first", "--scope", "train", "--scope", "read"]
    assert main(arguments) == 0
    output = capsys.readouterr()
    key = output.out.strip()
    presented = keys.read_key(key)
    assert presented is not None
    assert "cannot be shown again" in output.err
    assert main(["keys", "list", "--json"]) == 0
    listed = capsys.readouterr().out
    assert presented.secret not in listed
    (row,) = json.loads(listed)
    assert (row["id"], row["name"], row["scopes"]) == (presented.id, "first", ["read", "train"])
    assert main(["keys", "revoke", presented.id]) == 0
    capsys.readouterr()
    assert main(["keys", "list"]) == 0
    assert "revoked" in capsys.readouterr().out


@pytest.mark.usefixtures("data")
def test_a_command_that_is_wrong_says_what_would_be_right(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["keys", "revoke", "0" * 12]) == 4
    assert "no such API key" in capsys.readouterr().err
    assert main(["keys", "create", "<x>", "--scope", "read"]) == 4
    assert "letters" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["keys", "create", "x", "--scope", "root"])
    assert "admin" in capsys.readouterr().err
