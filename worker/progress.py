"""Clocks of a training: time spent, pace, time left, and when a checkpoint is due."""

import time


class Lap:
    """The pace since the last look."""

    def __init__(self, step: int) -> None:
        self._step = step
        self._began = time.monotonic()

    def end(self, step: int) -> float:
        """Return the steps per second since the lap began at an earlier step; begin the next."""
        now = time.monotonic()
        pace = (step - self._step) / max(now - self._began, 1e-9)
        self._step, self._began = step, now
        return pace


class Progress:
    """Times one run of a job; `earlier_seconds` were spent by the runs before it."""

    def __init__(
        self,
        step: int,
        total_steps: int,
        earlier_seconds: float,
        checkpoint_interval_seconds: float,
    ) -> None:
        self._first_step = step
        self._total_steps = total_steps
        self._earlier_seconds = earlier_seconds
        self._checkpoint_interval_seconds = checkpoint_interval_seconds
        self._began = self._last_checkpoint = time.monotonic()

    @property
    def elapsed_seconds(self) -> float:
        return self._earlier_seconds + time.monotonic() - self._began

    def seconds_left(self, step: int) -> float:
        """Return the time from `step` to the end, at this run's pace so far."""
        done = max(1, step - self._first_step)
        return (time.monotonic() - self._began) / done * (self._total_steps - step)

    def checkpoint_is_due(self) -> bool:
        """Tell whether the interval is over; where it is, the next one begins."""
        now = time.monotonic()
        if now - self._last_checkpoint < self._checkpoint_interval_seconds:
            return False
        self._last_checkpoint = now
        return True
