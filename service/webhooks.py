"""Tells the webhook's receiver of the jobs that ended, as long as the service runs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from starlette.concurrency import run_in_threadpool

from service.tasks import end_task
from service.webhook_receiver import NotDeliveredError, WebhookReceiver
from store import webhooks
from store.database import Database
from store.errors import DatabaseError
from store.settings import Settings
from store.webhooks import Delivery, DeliveryObserver

_logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
LONGEST_SENDING_SECONDS = 10.0


class WebhookSender:
    """Sends what the database holds, one message at a time. Belongs to one event loop."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._observer = DeliveryObserver(settings.lease_seconds)
        self._could = True
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        is_told = await self._try(self._configure)
        if self._settings.webhook_url is not None or not is_told:
            self._task = asyncio.create_task(self._run(is_told=is_told))

    async def stop(self) -> None:
        await end_task(self._task)

    async def _run(self, *, is_told: bool) -> None:
        while not is_told:
            await asyncio.sleep(INTERVAL_SECONDS)
            is_told = await self._try(self._configure)
        if self._settings.webhook_url is None:
            return
        receiver = WebhookReceiver(
            self._settings.webhook_url,
            self._settings.webhook_key,
            allow_private=self._settings.webhook_allow_private,
            # An attempt has ended, well or not, before another process may take the message.
            seconds=min(LONGEST_SENDING_SECONDS, self._settings.lease_seconds / 2),
        )
        while True:
            await self._try(lambda: self._send_due(receiver))
            await asyncio.sleep(INTERVAL_SECONDS)

    async def _try(self, step: Callable[[], Awaitable[None]]) -> bool:
        """Return whether the database let it be done, and say so once when it does not."""
        try:
            await step()
        except DatabaseError as error:
            if self._could:
                _logger.warning("No webhook is sent until this ends: %s", error.message)
            self._could = False
        else:
            self._could = True
        return self._could

    async def _configure(self) -> None:
        await run_in_threadpool(self._write_configuration)

    def _write_configuration(self) -> None:
        is_on = self._settings.webhook_url is not None
        with self._database.reading() as session:
            if webhooks.is_configured(session) == is_on:
                return
        with self._database.writing() as session:
            webhooks.configure(session, is_on=is_on)

    async def _send_due(self, receiver: WebhookReceiver) -> None:
        for delivery_id, attempt in await run_in_threadpool(self._find_due):
            delivery = await run_in_threadpool(self._claim, delivery_id, attempt)
            if delivery is not None:
                await self._send(receiver, delivery)

    async def _send(self, receiver: WebhookReceiver, delivery: Delivery) -> None:
        try:
            status_code = await receiver.post(delivery.message_id, delivery.payload)
        except NotDeliveredError as error:
            _logger.warning("Webhook %s: %s", delivery.message_id, error)
            await run_in_threadpool(self._postpone, delivery, str(error))
        except Exception:
            # A defect of ours; the next message may be without it.
            _logger.exception("Webhook %s", delivery.message_id)
            await run_in_threadpool(self._postpone, delivery, "It could not be sent: see the log.")
        else:
            await run_in_threadpool(self._finish, delivery, status_code)

    def _find_due(self) -> list[tuple[int, int]]:
        with self._database.reading() as session:
            return self._observer.find_due(session)

    def _claim(self, delivery_id: int, attempt: int) -> Delivery | None:
        with self._database.writing() as session:
            return webhooks.claim(session, delivery_id, attempt)

    def _postpone(self, delivery: Delivery, reason: str) -> None:
        with self._database.writing() as session:
            webhooks.postpone(session, delivery, reason)

    def _finish(self, delivery: Delivery, status_code: int) -> None:
        with self._database.writing() as session:
            webhooks.finish(session, delivery, status_code)
