"""The doctor finds what was broken, and says what to do."""

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from store.__main__ import main
from store.database import Database
from store.doctor import Doctor, Finding
from store.settings import Settings
from tests.store.test_backup import fill, make_settings


@pytest.fixture(params=["database", "folder"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    settings = make_settings(tmp_path / "live", request.param)
    fill(settings)
    return settings


def examine(settings: Settings, *, mend: bool = False) -> list[Finding]:
    doctor = Doctor(settings, mend=mend)
    try:
        return list(doctor.examine())
    finally:
        doctor.close()


def find_bad(settings: Settings) -> dict[str, str]:
    return {item.subject: item.text for item in examine(settings) if item.verdict == "bad"}


def test_a_sound_installation_has_nothing_bad(settings: Settings) -> None:
    findings = {item.subject: item for item in examine(settings)}
    assert not [item for item in findings.values() if item.verdict == "bad"]
    assert "python -m worker" in findings["workers"].text
    assert findings["artifacts"].text.startswith("3,")


def test_an_empty_installation_has_nothing_bad(tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "new", "database")
    assert find_bad(settings) == {}
    assert not (tmp_path / "new" / "tenfold.db").exists()


def test_flipped_bytes_are_found_and_named(settings: Settings) -> None:
    if settings.artifacts_folder is None:
        database = Database(settings.resolved_database_url)
        with database.writing() as session:
            session.execute(
                text(
                    "UPDATE artifact_chunks SET data = zeroblob(length(data)) WHERE name = 'state'"
                )
            )
        database.dispose()
    else:
        for path in settings.artifacts_folder.glob("*/state"):
            path.write_bytes(b"\0" * path.stat().st_size)
    assert "of job 2" in find_bad(settings)["artifacts"]
    assert "checksum differs" in find_bad(settings)["artifacts"]


def test_orphans_are_found_and_mended(tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "live", "folder")
    fill(settings)
    assert settings.artifacts_folder is not None
    for name in ("0" * 32, "f" * 32 + ".partial"):
        (settings.artifacts_folder / name).mkdir()
    (settings.artifacts_folder / "notes-of-the-user").mkdir()
    found = {item.subject: item for item in examine(settings)}["orphans"]
    assert (found.verdict, found.text[:9]) == ("warning", "2 folders")
    examine(settings, mend=True)
    assert {item.subject: item for item in examine(settings)}["orphans"].verdict == "good"
    assert (settings.artifacts_folder / "notes-of-the-user").is_dir()


def test_a_broken_invariant_is_found(settings: Settings) -> None:
    database = Database(settings.resolved_database_url)
    with database.writing() as session:
        session.execute(text("UPDATE jobs SET worker_id = NULL"))
    database.dispose()
    assert "has no worker" in find_bad(settings)["rows"]


def test_a_database_that_is_nearly_as_large_as_it_may_be_is_told(settings: Settings) -> None:
    path = settings.data / "tenfold.db"
    for share, verdict in [(1.0, "warning"), (20.0, "good")]:
        limited = settings.model_copy(
            update={"database_max_bytes": int(path.stat().st_size * share)}
        )
        growth = {item.subject: item for item in examine(limited)}["growth"]
        assert growth.verdict == verdict
        assert "TENFOLD_DATABASE_MAX_BYTES" in growth.text


def test_a_damaged_database_is_found_without_a_traceback(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = settings.data / "tenfold.db"
    content = bytearray(path.read_bytes())
    content[4096:40960] = b"\xff" * (40960 - 4096)
    path.write_bytes(content)
    monkeypatch.setenv("TENFOLD_DATA", str(settings.data))
    monkeypatch.setenv("TENFOLD_ARTIFACTS_URL", settings.artifacts_url)
    assert main(["doctor", "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)
    bad = {item["subject"]: item["text"] for item in findings if item["verdict"] == "bad"}
    assert "restore a backup" in bad["database"]
