"""How many CPU threads a training step is worth."""

import torch

from store.cores import count_cores
from store.specs import TrainingSpec

# Below this many images a step's operations are over before a second thread has woken up, and on
# a busy machine threads that wait for each other cost tenfold.
_SMALLEST_SHARED_BATCH = 64


def use_threads(spec: TrainingSpec) -> None:
    """Set this process's number of threads for the batches of `spec`."""
    is_worth_sharing = spec.batch_size >= _SMALLEST_SHARED_BATCH
    torch.set_num_threads(count_cores() if is_worth_sharing else 1)
