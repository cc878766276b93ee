"""The bytes of checkpoints and models, behind four verbs: put, read, stream, delete.

An artifact is a small set of named files that are stored together or not at all. Its rows
(names, sizes, checksums) are always in the database; its bytes are there too, or in a folder.
"""

import hashlib
import os
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from sqlalchemy import delete as sql_delete
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session

from store.durability import flush
from store.errors import ArtifactError, NotFoundError
from store.folders import list_folder
from store.refusals import explain_refusal
from store.tables import Artifact, ArtifactChunk, ArtifactFile

CHUNK_BYTES = 1 << 20

# Nothing else in the folder is ours to delete.
_ARTIFACT_FOLDER = re.compile(r"[0-9a-f]{32}(\.partial)?")


def open_store(url: str) -> "ArtifactStore":
    """Return the store of `TENFOLD_ARTIFACTS_URL`: `database:` or `file:///folder`."""
    if url == "database:":
        return DatabaseArtifacts()
    return FolderArtifacts(Path(unquote(urlsplit(url).path)))


class ArtifactStore(ABC):
    """Stores sets of files. Every method runs inside the caller's transaction."""

    def put(self, session: Session, files: Mapping[str, bytes]) -> Artifact:
        """Store the files; they exist for others once the caller's transaction commits."""
        artifact = Artifact(id=uuid4().hex, size_bytes=sum(map(len, files.values())))
        session.add(artifact)
        session.flush()
        session.add_all(
            ArtifactFile(
                artifact_id=artifact.id,
                name=name,
                size_bytes=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
            )
            for name, content in files.items()
        )
        session.flush()
        self._write(session, artifact.id, files)
        return artifact

    def list_files(self, session: Session, artifact_id: str) -> list[ArtifactFile]:
        query = select(ArtifactFile).where(ArtifactFile.artifact_id == artifact_id)
        return list(session.scalars(query.order_by(ArtifactFile.name)))

    def get_file(self, session: Session, artifact_id: str, name: str) -> ArtifactFile:
        """Return a file's row. Raises NotFoundError (`file_not_found`)."""
        file = session.get(ArtifactFile, (artifact_id, name))
        if file is None:
            raise NotFoundError(f"There is no file {name!r} here.", code="file_not_found")
        return file

    def stream(self, session: Session, artifact_id: str, name: str) -> Iterator[bytes]:
        """Yield a file in chunks of at most 1 MiB.

        Raises ArtifactError after the last chunk when the bytes are not those that were stored.
        """
        file = self.get_file(session, artifact_id, name)
        digest = hashlib.sha256()
        for chunk in self._read(session, artifact_id, name):
            digest.update(chunk)
            yield chunk
        if digest.hexdigest() != file.sha256:
            raise ArtifactError(
                f"{name} of artifact {artifact_id} is damaged: its checksum differs. "
                "Restore it from a backup, or train again."
            )

    def read(self, session: Session, artifact_id: str, name: str) -> bytes:
        """Return a whole file, checked. Raises ArtifactError when it is missing or damaged."""
        return b"".join(self.stream(session, artifact_id, name))

    def read_all(self, session: Session, artifact_id: str) -> dict[str, bytes]:
        """Return every file, checked. Raises ArtifactError when one is missing or damaged."""
        return {
            file.name: self.read(session, artifact_id, file.name)
            for file in self.list_files(session, artifact_id)
        }

    def delete(self, session: Session, artifact_id: str) -> None:
        """Delete the artifact when the caller's transaction commits."""
        self._remove(session, artifact_id)
        session.execute(sql_delete(ArtifactFile).where(ArtifactFile.artifact_id == artifact_id))
        session.execute(sql_delete(Artifact).where(Artifact.id == artifact_id))

    def find_orphans(self, session: Session) -> list[str]:
        """Return the names of what is stored and no row announces, which a crash may leave.

        Call it inside `Database.writing()`: whoever puts an artifact holds that lock as well.
        """
        return []

    def remove_orphans(self, session: Session) -> list[str]:
        """Remove what `find_orphans` returns, under the same lock, and return it."""
        orphans = self.find_orphans(session)
        for name in orphans:
            self._erase(name)
        return orphans

    @abstractmethod
    def _write(self, session: Session, artifact_id: str, files: Mapping[str, bytes]) -> None: ...

    @abstractmethod
    def _read(self, session: Session, artifact_id: str, name: str) -> Iterator[bytes]: ...

    @abstractmethod
    def _remove(self, session: Session, artifact_id: str) -> None: ...

    @abstractmethod
    def _erase(self, name: str) -> None: ...


class DatabaseArtifacts(ArtifactStore):
    """Bytes as rows, so that one file is the whole state."""

    def _write(self, session: Session, artifact_id: str, files: Mapping[str, bytes]) -> None:
        for name, content in files.items():
            for number, start in enumerate(range(0, len(content), CHUNK_BYTES)):
                chunk = ArtifactChunk(
                    artifact_id=artifact_id,
                    name=name,
                    number=number,
                    data=content[start : start + CHUNK_BYTES],
                )
                session.add(chunk)
                session.flush()
                session.expunge(chunk)

    def _read(self, session: Session, artifact_id: str, name: str) -> Iterator[bytes]:
        of_file = (ArtifactChunk.artifact_id == artifact_id, ArtifactChunk.name == name)
        count = session.scalar(select(func.count()).select_from(ArtifactChunk).where(*of_file))
        for number in range(count or 0):
            chunk = session.scalar(
                select(ArtifactChunk.data).where(*of_file, ArtifactChunk.number == number)
            )
            yield chunk or b""

    def _remove(self, session: Session, artifact_id: str) -> None:
        session.execute(sql_delete(ArtifactChunk).where(ArtifactChunk.artifact_id == artifact_id))

    def _erase(self, name: str) -> None:
        """Bytes without their rows cannot exist here."""


class FolderArtifacts(ArtifactStore):
    """Bytes as files: `<folder>/<artifact id>/<name>`, for large networks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _write(self, session: Session, artifact_id: str, files: Mapping[str, bytes]) -> None:
        """Write aside, flush to the disk, then rename: a crash leaves all files or none."""
        aside = self.folder / f"{artifact_id}.partial"
        try:
            aside.mkdir(parents=True)
            for name, content in files.items():
                with (aside / name).open("xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            flush(aside)
            aside.rename(self.folder / artifact_id)
            flush(self.folder)
        except OSError as error:
            shutil.rmtree(aside, ignore_errors=True)
            advice = explain_refusal(error) or f"{error}: see whether the folder is writable"
            raise ArtifactError(
                f"The artifact could not be written to {self.folder}. {advice}, then try again.",
                code="artifact_not_written",
            ) from error
        _call_once_after(session, "after_rollback", self._erase, artifact_id)

    def _read(self, session: Session, artifact_id: str, name: str) -> Iterator[bytes]:
        try:
            with (self.folder / artifact_id / name).open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk
        except FileNotFoundError as error:
            raise ArtifactError(
                f"{name} of artifact {artifact_id} is missing from {self.folder}. "
                "Restore it from a backup, or train again."
            ) from error
        except OSError as error:
            raise ArtifactError(
                f"{name} of artifact {artifact_id} cannot be read from {self.folder}. "
                f"{explain_refusal(error) or error}, then try again.",
                code="artifact_not_read",
            ) from error

    def _remove(self, session: Session, artifact_id: str) -> None:
        _call_once_after(session, "after_commit", self._erase, artifact_id)

    def find_orphans(self, session: Session) -> list[str]:
        known = set(session.scalars(select(Artifact.id)))
        return sorted(
            path.name
            for path in list_folder(self.folder)
            if _ARTIFACT_FOLDER.fullmatch(path.name) and path.name not in known
        )

    def _erase(self, name: str) -> None:
        shutil.rmtree(self.folder / name, ignore_errors=True)


def _call_once_after(
    session: Session, moment: str, function: Callable[[str], None], artifact_id: str
) -> None:
    def call(_session: Session) -> None:
        function(artifact_id)

    event.listen(session, moment, call, once=True)
