"""Runs the API and a worker side by side, and never one without the other (`make serve`).

The two find each other through the database; this launcher only starts and stops them.
"""

import asyncio
import signal
import sys
from collections.abc import Iterable

PROCESSES = ("service", "worker")
# What a worker needs to write its last checkpoint; after that it is killed.
GRACE_SECONDS = 15.0


async def start(name: str) -> asyncio.subprocess.Process:
    """Start one process in a group of its own: a Ctrl-C reaches it through this launcher only."""
    return await asyncio.create_subprocess_exec(sys.executable, "-m", name, process_group=0)


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


async def serve() -> int:
    """Return the exit code: 0 after a signal, else that of the process that ended by itself."""
    stop_requested = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(signal_number, stop_requested.set)

    children: dict[str, asyncio.subprocess.Process] = {}
    try:
        for name in PROCESSES:
            children[name] = await start(name)
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
    print(f"The {name} ended by itself (exit code {code}), so the rest was stopped too.")
    # A negative code names the signal that ended the process; shells write 128 + n.
    return 128 - code if code < 0 else code or 1


if __name__ == "__main__":
    sys.exit(asyncio.run(serve()))
