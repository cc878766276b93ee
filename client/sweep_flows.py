"""Waiting for a sweep."""

from collections.abc import Callable
from time import monotonic

from client import calls
from client.errors import ConnectionFailedError, UnavailableError, WaitTimeoutError
from client.flows import Flow, Sleep, ask
from client.job_flows import PATIENCE_SECONDS
from client.schemas import Sweep

# A trial takes seconds at least.
POLL_INTERVAL_SECONDS = 1.0

ObserveSweep = Callable[[Sweep], None]


def wait_for(
    sweep_id: int, observe: ObserveSweep | None, timeout_seconds: float | None
) -> Flow[Sweep]:
    """Wait until the sweep has ended and return it; `observe` is called at each look.

    Raises WaitTimeoutError, and ConnectionFailedError when the service stays away for two minutes.
    """
    deadline = None if timeout_seconds is None else monotonic() + timeout_seconds
    last_contact = monotonic()
    while True:
        try:
            sweep = yield from ask(calls.get_sweep(sweep_id))
        except (ConnectionFailedError, UnavailableError):
            if monotonic() - last_contact > PATIENCE_SECONDS:
                raise
        else:
            last_contact = monotonic()
            if observe is not None:
                observe(sweep)
            if sweep.status.is_ended:
                return sweep
        if deadline is not None and monotonic() > deadline:
            raise WaitTimeoutError(
                f"Sweep {sweep_id} has not ended after {timeout_seconds:.0f} s of waiting; "
                "it goes on."
            )
        yield Sleep(POLL_INTERVAL_SECONDS)
