"""Tells the container engine whether the process in this container works: exit code 0 or 1."""

import socket
import sys
from urllib.error import URLError
from urllib.request import urlopen

from store import workers
from store.database import Database
from store.errors import TenfoldError
from store.settings import Settings

TIMEOUT_SECONDS = 5


def check_service(settings: Settings) -> str | None:
    """Return what is wrong with the API, or None."""
    url = f"http://127.0.0.1:{settings.port}/health/live"
    try:
        with urlopen(url, timeout=TIMEOUT_SECONDS):
            return None
    except (URLError, TimeoutError) as error:
        return f"{url}: {error}"


def check_worker(settings: Settings) -> str | None:
    """Return what is wrong with this host's worker, or None."""
    database = Database(settings.resolved_database_url)
    with database.reading() as session:
        alive = workers.list_alive(session, settings.heartbeat_interval_seconds)
        hosts = {worker.host for worker in alive}
    database.dispose()
    return None if socket.gethostname() in hosts else "no heartbeat of this container's worker"


if __name__ == "__main__":
    role = sys.argv[1] if len(sys.argv) > 1 else "service"
    try:
        problem = {"service": check_service, "worker": check_worker}[role](Settings())
    except TenfoldError as error:
        problem = error.message
    if problem is not None:
        sys.exit(problem)
