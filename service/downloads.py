"""Files of artifacts, sent whole or not at all, with memory that stays flat.

The bytes are first copied out of the store and checked, so no slow client holds the database,
no damaged file is sent half, and a checkpoint that is dropped meanwhile still arrives.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from os import SEEK_END
from tempfile import SpooledTemporaryFile
from typing import IO, Any
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from fastapi import Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session
from starlette.types import Receive, Scope, Send

from service.context import Context
from service.openapi import file_content
from store.artifacts import CHUNK_BYTES, ArtifactStore
from store.tables import ArtifactFile

# Larger files wait on the disk (`TMPDIR`) instead.
LARGEST_IN_MEMORY_BYTES = 8 << 20

_MEDIA_TYPES = {"json": "application/json", "onnx": "application/octet-stream"}


class FileReply(BaseModel):
    """One file of a checkpoint or a model version."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    size_bytes: int
    sha256: str = Field(description="Checksum of the bytes; also the `ETag` of the download.")


FILE_EXAMPLES = [
    {"name": "manifest.json", "size_bytes": 2815, "sha256": "9f86d081884c7d65" * 4},
    {"name": "model.onnx", "size_bytes": 251840, "sha256": "60303ae22b998861" * 4},
]
_ETAG_HEADER = {"ETag": {"schema": {"type": "string"}, "description": "The file's sha256."}}
FILE_REPLIES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The bytes of the file.",
        "headers": _ETAG_HEADER,
        "content": file_content("application/octet-stream")
        | {"application/json": {"schema": {}, "example": {"format_version": 1}}},
    },
    304: {"description": "The copy that `If-None-Match` names is still the same."},
}
ZIP_REPLIES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "All files as one zip archive.",
        "content": file_content("application/zip"),
    }
}


@dataclass(frozen=True)
class ArtifactFolder:
    """Where a download finds its files, looked up anew in each transaction."""

    context: Context
    find_artifact_id: Callable[[Session], str]

    def list_files(self) -> list[FileReply]:
        with self.context.database.reading() as session:
            rows = self.context.artifacts.list_files(session, self.find_artifact_id(session))
        return [FileReply.model_validate(row) for row in rows]

    def send_file(self, name: str, if_none_match: str | None) -> Response:
        """Return one file, or 304 when the client has it."""
        with _filled_spool() as body, self.context.database.reading() as session:
            artifact_id = self.find_artifact_id(session)
            file = self.context.artifacts.get_file(session, artifact_id, name)
            headers = {"ETag": f'"{file.sha256}"', "X-Content-Type-Options": "nosniff"}
            if is_same(file.sha256, if_none_match):
                body.close()
                return Response(status_code=304, headers=headers)
            _copy(session, self.context.artifacts, file, body)
        media_type = _MEDIA_TYPES.get(name.rpartition(".")[2], "application/octet-stream")
        return SpoolResponse(body, media_type, name, headers)

    def send_zip(self, name: str) -> Response:
        """Return all files in one archive, uncompressed: weights do not compress."""
        with (
            _filled_spool() as body,
            self.context.database.reading() as session,
            ZipFile(body, "w", ZIP_STORED) as archive,
        ):
            artifact_id = self.find_artifact_id(session)
            for file in self.context.artifacts.list_files(session, artifact_id):
                # A fixed date, so that the same files make the same archive.
                entry = ZipInfo(file.name, date_time=(1980, 1, 1, 0, 0, 0))
                with archive.open(entry, "w", force_zip64=True) as target:
                    _copy(session, self.context.artifacts, file, target)
        return SpoolResponse(body, "application/zip", name, {})


class SpoolResponse(StreamingResponse):
    """Sends a spool from its beginning, and closes it however that ends."""

    def __init__(
        self, body: IO[bytes], media_type: str, name: str, headers: Mapping[str, str]
    ) -> None:
        self._body = body
        size_bytes = body.seek(0, SEEK_END)
        body.seek(0)
        headers = {
            **headers,
            "Content-Length": str(size_bytes),
            "Content-Disposition": f'attachment; filename="{name}"',
        }
        super().__init__(self._read_chunks(), media_type=media_type, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._body.close()

    def _read_chunks(self) -> Iterator[bytes]:
        while chunk := self._body.read(CHUNK_BYTES):
            yield chunk


def is_same(sha256: str, if_none_match: str | None) -> bool:
    """Tell whether `If-None-Match` names this content (weak and listed tags count, RFC 9110)."""
    if if_none_match is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return f'"{sha256}"' in tags or "*" in tags


@contextmanager
def _filled_spool() -> Iterator[IO[bytes]]:
    """Yield a spool to write to; it stays open for the reply unless the block fails."""
    body = SpooledTemporaryFile(max_size=LARGEST_IN_MEMORY_BYTES)  # noqa: SIM115
    try:
        yield body
    except BaseException:
        body.close()
        raise


def _copy(
    session: Session, artifacts: ArtifactStore, file: ArtifactFile, target: IO[bytes]
) -> None:
    for chunk in artifacts.stream(session, file.artifact_id, file.name):
        target.write(chunk)
