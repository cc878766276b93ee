"""What a training tells its caller while it runs, besides the numbers in `store.reports`."""

from dataclasses import dataclass, field
from typing import Any

from store.reports import EpochReport, StepReport


@dataclass(frozen=True)
class CheckpointDue:
    """A good moment to keep `Training.state()`."""


@dataclass(frozen=True)
class Notice:
    """Something worth telling the user, for the job's events."""

    kind: str
    message: str
    data: dict[str, Any] = field(default_factory=dict)


Report = StepReport | EpochReport | CheckpointDue | Notice
