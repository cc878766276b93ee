"""Run the API: `python -m service [--workers N]`."""

import argparse
import errno
import logging
import signal
import socket
import sys
from functools import partial
from typing import TYPE_CHECKING

import uvicorn
from pydantic import ValidationError

from service.app import create_app
from service.connections import ConnectionLimits, Connections
from service.http_protocol import BoundedHttpProtocol
from service.monitoring import Monitoring
from service.processes import serve_in_processes, stop_with_parent
from store import keys, migrations
from store.database import Database
from store.errors import ConflictError, TenfoldError
from store.memory import bound_arenas, collect_rarely
from store.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

# A request that runs longer than this after SIGTERM is cut off.
SHUTDOWN_TIMEOUT_SECONDS = 10
MOST_PROCESSES = 256
_BACKLOG = 2048
_logger = logging.getLogger("service")
_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


class Server(uvicorn.Server):
    """Ends the event streams before it waits for open connections: they end by themselves never."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        app: FastAPI = self.config.app  # type: ignore[assignment]
        app.state.context.event_feed.close()
        await super().shutdown(sockets)


def main() -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit status."""
    arguments = _parse_arguments()
    bound_arenas()
    try:
        settings = Settings()
    except ValidationError as error:
        return _explain(f"The settings are not right: {error}")
    logging.basicConfig(level=settings.log_level.upper(), format=_LOG_FORMAT)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # uvicorn stops in good order on either signal, and then raises it again.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    if arguments.listener is not None:
        stop_with_parent(arguments.lifeline)
        return _serve(settings, socket.socket(fileno=arguments.listener))
    try:
        _prepare(settings)
        listeners = _listen(settings.host, settings.port, arguments.workers)
    except TenfoldError as error:
        return _explain(error.message)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        return _explain(f"The API cannot listen on {where}: {_advise(error)}")
    if len(listeners) > 1:
        return serve_in_processes(listeners)
    return _serve(settings, listeners[0])


def build_config(settings: Settings) -> uvicorn.Config:
    """Return the server's configuration, the same for production and for tests."""
    monitoring = Monitoring()
    connections = Connections(ConnectionLimits.of(settings), monitoring)
    return uvicorn.Config(
        create_app(settings, monitoring),
        http=partial(BoundedHttpProtocol, connections),  # type: ignore[arg-type]
        ws="none",
        loop="uvloop",
        # `main` has configured logging.
        log_config=None,
        log_level=settings.log_level,
        access_log=settings.log_level == "debug",
        server_header=False,
        # No reply depends on the scheme or the client's address.
        proxy_headers=False,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_SECONDS,
    )


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m service", description="Run the API.")
    parser.add_argument(
        "--workers",
        type=_parse_count,
        default=1,
        metavar="N",
        help="server processes on the one port; each has its own batcher and its own models",
    )
    # What a process of `--workers N` gets from its parent: open file descriptors.
    parser.add_argument("--listener", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--lifeline", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def _parse_count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_PROCESSES:
        raise argparse.ArgumentTypeError(f"must be a number from 1 to {MOST_PROCESSES}")
    return int(text)


def _serve(settings: Settings, listener: socket.socket) -> int:
    with listener:
        server = Server(build_config(settings))
        collect_rarely()
        server.run(sockets=[listener])
    return 0 if server.started else 1


def _prepare(settings: Settings) -> None:
    """Migrate the database. Raises ConflictError where the API would be open to other machines."""
    database = Database(settings.resolved_database_url)
    try:
        migrations.upgrade(database)
        with database.reading() as session:
            is_closed = keys.has_usable(session)
    finally:
        database.dispose()
    if settings.is_reachable and settings.open:
        _logger.warning("Anybody who reaches %s may use the API without a key.", settings.host)
    if not settings.is_reachable or settings.open or is_closed:
        return
    raise ConflictError(
        f"The API would listen on {settings.host}, where other machines reach it, and there is no "
        "API key yet. Make one with `tenfold keys create NAME --scope admin` (in a container: "
        "`python -m store keys create NAME --scope admin`), or listen on 127.0.0.1 "
        "(TENFOLD_HOST), or let anybody in with TENFOLD_OPEN=true."
    )


def _listen(host: str, port: int, count: int) -> list[socket.socket]:
    """Return listening sockets, so that a busy port is known before anything else starts."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    first = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    if count == 1 or sys.platform != "linux":
        # Other systems give all connections to one of the sockets of a port.
        return [first] * count
    # The port is free, and stays so for the others: only this user's could take it as well.
    port = first.getsockname()[1]
    first.close()
    return [
        socket.create_server((host, port), family=family, backlog=_BACKLOG, reuse_port=True)
        for _ in range(count)
    ]


def _advise(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "stop what uses that port, or choose another with TENFOLD_PORT."
    if error.errno == errno.EACCES:
        return "this user may not use that port; choose one above 1023 with TENFOLD_PORT."
    return "it is no address of this machine; set TENFOLD_HOST to one, 127.0.0.1 say."


def _explain(message: str) -> int:
    sys.stderr.write(f"{message}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
