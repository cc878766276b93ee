"""Files that are streamed to disk, checked, and only then given their names."""

import hashlib
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from client.calls import Call, Sink
from client.errors import ChecksumError, UnexpectedReplyError
from client.flows import Flow, ask
from client.schemas import StoredFile

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_BLOCK_BYTES = 1 << 20


class _HashingFile:
    """A file that knows the checksum of what was written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._hash = hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._hash.update(chunk)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


def download_all(
    files: list[StoredFile], folder: Path, make_call: Callable[[str, Sink], Call[None]]
) -> Flow[list[Path]]:
    """Download files into a folder and return their paths; those that are there are left alone.

    Raises ChecksumError, or OSError where the folder cannot be written to. Neither leaves a part
    of a file behind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for file in files:
        # The name comes from outside: it must not lead out of the folder.
        if not _SAFE_NAME.fullmatch(file.name):
            raise UnexpectedReplyError(f"{file.name!r} is no name of a file; nothing was written.")
        path = folder / file.name
        if not _is_there(path, file.sha256):
            yield from _download(path, file, make_call)
        paths.append(path)
    return paths


def _download(
    path: Path, file: StoredFile, make_call: Callable[[str, Sink], Call[None]]
) -> Flow[None]:
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as target:
            sink = _HashingFile(target)
            yield from ask(make_call(file.name, sink))
        if sink.sha256 != file.sha256:
            raise ChecksumError(
                f"{file.name} arrived damaged (sha256 {sink.sha256[:12]}…, expected "
                f"{file.sha256[:12]}…): download it again."
            )
        part.replace(path)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def _is_there(path: Path, sha256: str) -> bool:
    if not path.is_file():
        return False
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            hasher.update(block)
    return hasher.hexdigest() == sha256
