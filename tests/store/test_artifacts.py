"""Both artifact stores keep the same promises."""

import random
from pathlib import Path

import pytest
from sqlalchemy import select

from store.artifacts import CHUNK_BYTES, ArtifactStore, FolderArtifacts
from store.database import Database
from store.errors import ArtifactError, NotFoundError
from store.tables import Artifact, ArtifactChunk, ArtifactFile

FILES = {
    "empty": b"",
    "small.json": b"{}",
    "exact": bytes(CHUNK_BYTES),
    "large": bytes(range(256)) * (CHUNK_BYTES // 64),
}


class DeliberateError(Exception):
    pass


def put(database: Database, artifacts: ArtifactStore) -> str:
    with database.writing() as session:
        return artifacts.put(session, FILES).id


def test_what_is_put_is_read_back(database: Database, artifacts: ArtifactStore) -> None:
    artifact_id = put(database, artifacts)
    with database.reading() as session:
        assert artifacts.read_all(session, artifact_id) == FILES


def test_a_stream_never_holds_more_than_a_chunk(
    database: Database, artifacts: ArtifactStore
) -> None:
    artifact_id = put(database, artifacts)
    with database.reading() as session:
        sizes = [len(chunk) for chunk in artifacts.stream(session, artifact_id, "large")]
    assert sizes == [CHUNK_BYTES] * 4


def test_a_file_that_was_not_put_is_not_found(database: Database, artifacts: ArtifactStore) -> None:
    artifact_id = put(database, artifacts)
    for name in ("other", "../small.json", ""):
        with database.reading() as session, pytest.raises(NotFoundError):
            artifacts.read(session, artifact_id, name)


def test_a_rolled_back_put_leaves_nothing(
    database: Database, artifacts: ArtifactStore, tmp_path: Path
) -> None:
    with pytest.raises(DeliberateError), database.writing() as session:
        artifacts.put(session, FILES)
        raise DeliberateError
    assert_nothing_is_left(database, tmp_path)


def test_delete_leaves_nothing(
    database: Database, artifacts: ArtifactStore, tmp_path: Path
) -> None:
    artifact_id = put(database, artifacts)
    with database.writing() as session:
        artifacts.delete(session, artifact_id)
    assert_nothing_is_left(database, tmp_path)


def test_a_rolled_back_delete_keeps_the_bytes(database: Database, artifacts: ArtifactStore) -> None:
    artifact_id = put(database, artifacts)
    with pytest.raises(DeliberateError), database.writing() as session:
        artifacts.delete(session, artifact_id)
        raise DeliberateError
    with database.reading() as session:
        assert artifacts.read_all(session, artifact_id) == FILES


@pytest.mark.parametrize("damage", ["flipped", "truncated"])
def test_damage_is_noticed(database: Database, artifacts: ArtifactStore, damage: str) -> None:
    artifact_id = put(database, artifacts)
    changed = b"[}" if damage == "flipped" else b"{"
    if isinstance(artifacts, FolderArtifacts):
        (artifacts.folder / artifact_id / "small.json").write_bytes(changed)
    else:
        with database.writing() as session:
            chunk = session.get(ArtifactChunk, (artifact_id, "small.json", 0))
            assert chunk is not None
            chunk.data = changed
    with database.reading() as session, pytest.raises(ArtifactError, match="damaged"):
        artifacts.read(session, artifact_id, "small.json")


def test_damage_at_random_places_is_noticed(database: Database, artifacts: ArtifactStore) -> None:
    """Flipped bits and truncations of a file of two chunks; what was mended is whole again."""
    draw = random.Random(5)  # noqa: S311 -- no secret
    content = draw.randbytes(CHUNK_BYTES + 1000)
    with database.writing() as session:
        artifact_id = artifacts.put(session, {"state": content}).id
    for _ in range(40):
        place = draw.randrange(len(content))
        flipped = bytes([content[place] ^ 1 << draw.randrange(8)])
        for damaged in (content[:place], content[:place] + flipped + content[place + 1 :]):
            overwrite(database, artifacts, artifact_id, damaged)
            with database.reading() as session, pytest.raises(ArtifactError, match="damaged"):
                artifacts.read(session, artifact_id, "state")
    overwrite(database, artifacts, artifact_id, content)
    with database.reading() as session:
        assert artifacts.read(session, artifact_id, "state") == content


def overwrite(
    database: Database, artifacts: ArtifactStore, artifact_id: str, content: bytes
) -> None:
    """Put other bytes in the place of those of `state`, and leave what is known about them."""
    if isinstance(artifacts, FolderArtifacts):
        (artifacts.folder / artifact_id / "state").write_bytes(content)
        return
    with database.writing() as session:
        for number in range(2):
            chunk = session.get_one(ArtifactChunk, (artifact_id, "state", number))
            chunk.data = content[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES]


def test_a_folder_that_cannot_be_written_is_a_sentence(database: Database, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    with (
        pytest.raises(ArtifactError, match="see whether the folder is writable"),
        database.writing() as session,
    ):
        FolderArtifacts(tmp_path / "taken").put(session, FILES)


def assert_nothing_is_left(database: Database, tmp_path: Path) -> None:
    with database.reading() as session:
        for table in (Artifact, ArtifactFile, ArtifactChunk):
            assert session.scalars(select(table)).all() == []
    assert list((tmp_path / "artifacts").glob("*")) == []
