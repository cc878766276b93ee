"""`python -m worker`: the training process."""

import logging
import signal
import sys
from threading import Event
from types import FrameType

from pydantic import ValidationError

from store import migrations
from store.artifacts import open_store
from store.database import Database
from store.errors import TenfoldError
from store.settings import Settings
from worker.loop import Worker
from worker.parallel import choose_device

log = logging.getLogger("worker.main")


def main() -> int:
    try:
        settings = Settings()
    except ValidationError as error:
        sys.stderr.write(f"The settings are not right: {error}\n")
        return 1
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for package in ("store", "worker"):
        logging.getLogger(package).setLevel(settings.log_level.upper())
    shutdown = Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        shutdown.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        database = Database(settings.resolved_database_url, max_bytes=settings.database_max_bytes)
        migrations.upgrade(database)
        Worker(
            settings,
            database,
            open_store(settings.artifacts_url),
            choose_device(settings.device),
            shutdown,
        ).run()
    except TenfoldError as error:
        log.error("%s", error.message)  # noqa: TRY400 -- the sentence says what to do
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
