"""Runs the API and a worker side by side, and never one without the other (`tenfold up`).

The two find each other through the database; this launcher only starts and stops them.
"""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NoReturn

PROCESSES = ("service", "worker")
# What a worker needs to write its last checkpoint; after that it is killed.
GRACE_SECONDS = 15.0
# prctl(2): the signal that this process gets when its parent dies.
_PR_SET_PDEATHSIG = 1


async def start(name: str, settings: Mapping[str, str]) -> asyncio.subprocess.Process:
    """Start one process in a group of its own: a Ctrl-C reaches it through this launcher only.

    `-P` keeps a folder of that name, where the user happens to be, from being run instead.
    """
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", name),
        process_group=0,
        env={**os.environ, **settings},
        preexec_fn=_build_bond(),
    )


def _build_bond() -> Callable[[], None] | None:
    """Return what a child calls first, so that it is stopped even where the launcher is killed.

    Only Linux offers that; elsewhere None.
    """
    if sys.platform != "linux":
        return None
    # Loaded here: the child may do little between its fork and the program that it becomes.
    library, launcher = ctypes.CDLL(None), os.getpid()

    def bind() -> None:
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != launcher:
            os._exit(1)  # it died in between

    return bind


def become(name: str, arguments: Sequence[str], settings: Mapping[str, str]) -> NoReturn:
    """Go on as `python -m name arguments`: same terminal, same signals, its exit code.

    `settings` are environment variables on top of this process's own.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    command = [sys.executable, "-P", "-m", name, *arguments]
    os.execve(sys.executable, command, {**os.environ, **settings})  # noqa: S606 -- ours


async def stop(children: Iterable[asyncio.subprocess.Process]) -> None:
    """Ask every child to end, wait for all of them, and kill what is left after the grace time."""
    running = [child for child in children if child.returncode is None]
    for child in running:
        child.terminate()
    try:
        async with asyncio.timeout(GRACE_SECONDS):
            await asyncio.gather(*(child.wait() for child in running))
    except TimeoutError:
        for child in running:
            if child.returncode is None:
                child.kill()
        await asyncio.gather(*(child.wait() for child in running))


async def serve(settings: Mapping[str, str] | None = None) -> int:
    """Return the exit code: 0 after a signal, else that of the process that ended by itself.

    `settings` are environment variables on top of this process's own.
    """
    stop_requested = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(signal_number, stop_requested.set)

    children: dict[str, asyncio.subprocess.Process] = {}
    try:
        for name in PROCESSES:
            children[name] = await start(name, settings or {})
        signalled = asyncio.create_task(stop_requested.wait())
        endings = [asyncio.create_task(child.wait()) for child in children.values()]
        await asyncio.wait({signalled, *endings}, return_when=asyncio.FIRST_COMPLETED)
        if signalled.done():
            return 0
        name, code = next(
            (name, child.returncode)
            for name, child in children.items()
            if child.returncode is not None
        )
    finally:
        await stop(children.values())
    sys.stderr.write(
        f"The {name} ended by itself (exit code {code}), so the rest was stopped too.\n"
    )
    # A negative code names the signal that ended the process; shells write 128 + n.
    return 128 - code if code < 0 else code or 1
