"""A terminal (pty) with a command in it: what it shows, and keys for it."""

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from types import TracebackType
from typing import Self

# Makes the terminal the one whose Ctrl-C reaches the command, then becomes the command.
_BECOME = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"  # noqa: E501
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b\][^\x07]*\x07")
CTRL_C = "\x03"


class Terminal:
    """Runs `tenfold` in a terminal of 110 columns and 40 lines; ends it with the block."""

    def __init__(self, folder: Path, environment: dict[str, str], *arguments: str) -> None:
        self._master, slave = os.openpty()
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 110, 0, 0))
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BECOME, "-P", "-m", "client", *arguments],
            cwd=folder,
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.raw = ""

    @property
    def text(self) -> str:
        """All that was shown, without colours and cursor movements."""
        return _ESCAPE.sub("", self.raw)

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def wait_for(self, pattern: str, seconds: float = 100) -> str:
        """Wait until the pattern has been shown, and return what matched."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.text)):
            assert time.monotonic() < deadline, f"{pattern} did not come:\n{self.text}"
            assert self._read(), f"{pattern} did not come before the end:\n{self.text}"
        return found[0]

    def wait(self, seconds: float = 100) -> int:
        """Wait for the end and return the exit code."""
        deadline = time.monotonic() + seconds
        while self._read():
            assert time.monotonic() < deadline, f"still running:\n{self.text}"
        return self._process.wait(10)

    def _read(self) -> bool:
        """Take up what is shown; False when nothing more will come."""
        if not select.select([self._master], [], [], 0.2)[0]:
            return True
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux: the other end is closed
            return False
        self.raw += data.decode(errors="replace")
        return bool(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)
