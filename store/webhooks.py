"""The ends of jobs that are still to be told to the webhook's receiver.

A row is written in the transaction that ends the job, so no end is lost; whoever sends it claims
it first, so that no two processes send it at once.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from store import events
from store.clock import utc_now
from store.leases import Stopwatches
from store.tables import Job, WebhookDelivery, WebhookEndpoint

# After the first attempt, the second, and so on; one that fails after the last is given up.
RETRY_DELAYS_SECONDS = (5.0, 30.0, 120.0, 600.0, 3600.0)
_ENDPOINT = 1


@dataclass(frozen=True)
class Delivery:
    """A process's right to send a message, until another attempt begins."""

    id: int
    attempt: int
    message_id: str
    payload: str


def configure(session: Session, *, is_on: bool) -> None:
    """Let the ends of jobs be recorded from now on, or not. What was recorded stays."""
    endpoint = session.get(WebhookEndpoint, _ENDPOINT)
    if is_on and endpoint is None:
        session.add(WebhookEndpoint(id=_ENDPOINT))
    if not is_on and endpoint is not None:
        session.delete(endpoint)


def is_configured(session: Session) -> bool:
    return session.get(WebhookEndpoint, _ENDPOINT) is not None


def record_end(session: Session, job: Job) -> None:
    """Note that the end of the job is to be told, where anybody wants to know."""
    if not is_configured(session) or job.finished_at is None:
        return
    payload = {
        "type": f"job.{job.status}",
        "timestamp": job.finished_at.isoformat(),
        "data": {
            "id": job.id,
            "status": str(job.status),
            "model_name": job.model_name,
            "error_code": None if job.error is None else job.error.get("code"),
        },
    }
    session.add(
        WebhookDelivery(
            job_id=job.id,
            message_id=f"msg_{uuid4().hex}",
            payload=json.dumps(payload),
            attempt=0,
            is_claimed=False,
        )
    )


class DeliveryObserver:
    """Finds what is to be sent now, by this process's clocks."""

    def __init__(self, lease_seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._lease_seconds = lease_seconds
        self._stopwatches = Stopwatches(clock, longest_gap_seconds=lease_seconds)

    def find_due(self, session: Session) -> list[tuple[int, int]]:
        """Return (delivery id, attempt) of what is due, oldest first.

        That is what nobody sends and has waited long enough, and what a process began to send a
        whole lease ago: it has died.
        """
        query = select(
            WebhookDelivery.id,
            WebhookDelivery.attempt,
            WebhookDelivery.is_claimed,
            WebhookDelivery.due_at,
        )
        rows = session.execute(query.order_by(WebhookDelivery.id)).all()
        claimed = self._stopwatches.look((row.id, row.attempt, 0) for row in rows if row.is_claimed)
        silent = {key for key, seconds in claimed.items() if seconds > self._lease_seconds}
        now = utc_now()
        return [
            (row.id, row.attempt)
            for row in rows
            if (row.id, row.attempt) in silent or (not row.is_claimed and row.due_at <= now)
        ]


def claim(session: Session, delivery_id: int, attempt: int) -> Delivery | None:
    """Begin the attempt after `attempt`; None where another process has done so before."""
    row = session.get(WebhookDelivery, delivery_id, with_for_update=True)
    if row is None or row.attempt != attempt:
        return None
    row.attempt += 1
    row.is_claimed = True
    return Delivery(row.id, row.attempt, row.message_id, row.payload)


def finish(session: Session, delivery: Delivery, status_code: int) -> None:
    """The receiver has it."""
    row = _get_owned(session, delivery)
    if row is None:
        return
    _tell(
        session,
        row,
        "webhook_delivered",
        f"The webhook's receiver answered {status_code}.",
        status_code=status_code,
    )
    session.delete(row)


def postpone(session: Session, delivery: Delivery, reason: str) -> None:
    """The receiver does not have it, as far as is known: try again later, or give it up."""
    row = _get_owned(session, delivery)
    if row is None:
        return
    if row.attempt > len(RETRY_DELAYS_SECONDS):
        _tell(session, row, "webhook_failed", f"{reason} It is not sent again.")
        session.delete(row)
        return
    delay_seconds = RETRY_DELAYS_SECONDS[row.attempt - 1]
    row.is_claimed = False
    row.due_at = utc_now() + timedelta(seconds=delay_seconds)
    _tell(session, row, "webhook_failed", f"{reason} It is sent again in {delay_seconds:g} s.")


def _get_owned(session: Session, delivery: Delivery) -> WebhookDelivery | None:
    """Return the row, locked; None when another attempt has begun or ended it since."""
    row = session.get(WebhookDelivery, delivery.id, with_for_update=True)
    return row if row is not None and row.attempt == delivery.attempt else None


def _tell(session: Session, row: WebhookDelivery, kind: str, message: str, **data: int) -> None:
    if row.job_id is not None:
        known = {"webhook_id": row.message_id, "attempt": row.attempt, **data}
        events.append(session, row.job_id, kind, message, known)
