"""How figures over several runs are written."""

import statistics
from collections.abc import Sequence


def describe_mean(accuracies: Sequence[float]) -> str:
    """Return the mean, and its standard error where there are several (accuracies from 0 to 1)."""
    mean = f"{statistics.mean(accuracies):.2%}"
    if len(accuracies) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(accuracies) / len(accuracies) ** 0.5:.2%}"
