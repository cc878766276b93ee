"""One job on several processes of this machine: DistributedDataParallel under torchrun's launcher.

Each process trains on its share of every batch and they average their gradients. The first one
reports; this process passes its reports on and looks like a Training to whoever iterates.
"""

import contextlib
import multiprocessing
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from typing import Any
from uuid import uuid4

import torch
import torch.distributed as dist
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from store.errors import TenfoldError, TrainingError
from store.packed import PackedDataset
from store.specs import TrainingSpec
from worker import checkpoints, networks
from worker.batches import count_steps_per_epoch
from worker.reports import CheckpointDue, Report
from worker.training import Training

# Without GPUs the processes share the cores: more of them would only wait for each other.
_CPU_PROCESSES = 2
_POLL_SECONDS = 0.2
# What is whole has arrived long before; half a message never does.
LAST_MESSAGE_SECONDS = 10.0


@dataclass(frozen=True)
class Start:
    """What every process begins with."""

    spec: TrainingSpec
    dataset: PackedDataset
    device_type: str
    resume: dict[str, bytes] | None
    initial_weights: bytes | None
    checkpoint_interval_seconds: float


@dataclass(frozen=True)
class Message:
    """A report of the first process, and where it stands."""

    report: Report | None
    epoch: int
    step: int
    # At a checkpoint and at the end; `None` elsewhere. As bytes, because a tensor in a queue is
    # memory that its sender shares for as long as it lives.
    state: dict[str, bytes] | None = None
    weights: bytes | None = None
    is_finished: bool = False
    error: TenfoldError | None = None


class DistributedTraining:
    """A Training whose steps run in processes of their own, one a GPU.

    Without a GPU two processes share the cores, by gloo. Raises what the processes raise.
    """

    def __init__(
        self,
        spec: TrainingSpec,
        dataset: PackedDataset,
        device: torch.device,
        *,
        resume: dict[str, bytes] | None = None,
        initial_weights: dict[str, Tensor] | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        checkpoint_interval_seconds: float = 60.0,
    ) -> None:
        self.spec = spec
        self.finished = False
        self.result: nn.Module = networks.build_for(spec, dataset).to(device)
        steps_per_epoch = count_steps_per_epoch(dataset.count("train"), spec)
        about = {} if resume is None else checkpoints.from_files(resume).about
        self.epoch: int = about.get("epoch", 0)
        self.step: int = self.epoch * steps_per_epoch + about.get("step", 0)
        self.steps = spec.epochs * steps_per_epoch
        self._state = resume or {}
        self._start = Start(
            spec,
            dataset,
            device.type,
            resume,
            None if initial_weights is None else save(initial_weights),
            checkpoint_interval_seconds,
        )
        self._should_stop = should_stop

    def __iter__(self) -> Iterator[Report]:
        context = multiprocessing.get_context("spawn")
        messages: Queue[Message | None] = context.Queue()
        # What a dead process has left in the way of ours must not keep this one from its end.
        messages.cancel_join_thread()
        stop = context.Event()
        launcher = _Launcher(self._start, messages, stop)
        mailbox = Mailbox(messages)
        launcher.start()
        mailbox.start()
        try:
            while True:
                message = self._wait_for_message(launcher, mailbox, stop)
                if message is None:
                    break
                self._take(message)
                if message.report is not None:
                    yield message.report
        finally:
            stop.set()
            launcher.join()
        launcher.raise_failure()

    def state(self) -> dict[str, bytes]:
        """Return the state at the last checkpoint, or at the stop."""
        return self._state

    def _wait_for_message(
        self, launcher: "_Launcher", mailbox: "Mailbox", stop: Event
    ) -> Message | None:
        """Return the next message; None when the processes have ended."""
        while launcher.is_alive():
            if self._should_stop():
                stop.set()
            with contextlib.suppress(queue.Empty):
                return mailbox.arrived.get(timeout=_POLL_SECONDS)
        try:
            return mailbox.arrived.get(timeout=LAST_MESSAGE_SECONDS)
        except queue.Empty:
            return None

    def _take(self, message: Message) -> None:
        if message.error is not None:
            raise message.error
        self.epoch, self.step = message.epoch, message.step
        if message.state is not None:
            self._state = message.state
        if message.weights is not None:
            self.result.load_state_dict(load(message.weights))
        self.finished = message.is_finished


class Mailbox(threading.Thread):
    """Takes the messages out of the pipe that the first process writes to.

    A process that is killed while it writes leaves half a message, and whoever reads that waits
    for the rest for ever. So this thread reads, which nobody waits for.
    """

    def __init__(self, messages: "Queue[Message | None]") -> None:
        super().__init__(name="mailbox", daemon=True)
        self._messages = messages
        # None is the last one.
        self.arrived: queue.SimpleQueue[Message | None] = queue.SimpleQueue()

    def run(self) -> None:
        message: Message | None = None
        while (message := self._messages.get()) is not None:
            self.arrived.put(message)
        self.arrived.put(None)


class _Launcher(threading.Thread):
    """Runs the elastic launcher, which blocks and would take the main thread's signals."""

    def __init__(self, start: Start, messages: "Queue[Message | None]", stop: Event) -> None:
        super().__init__(name="launcher")
        self._start = start
        self._messages = messages
        self._stop_event = stop
        self._failure: Exception | None = None

    def run(self) -> None:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count_processes(self._start.device_type),
            run_id=uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            # The worker's own checkpoints restart a job; half of one cannot go on.
            max_restarts=0,
            monitor_interval=_POLL_SECONDS,
            start_method="spawn",
            logs_specs=DefaultLogsSpecs(tee=Std.NONE),
        )
        try:
            elastic_launch(config, _run_process)(self._start, self._messages, self._stop_event)
        except Exception as error:  # noqa: BLE001 -- raised again where the job is run
            self._failure = error
        finally:
            self._messages.put(None)

    def raise_failure(self) -> None:
        if isinstance(self._failure, ChildFailedError):
            rank, failure = self._failure.get_first_failure()
            raise TrainingError(
                f"process {rank} of the distributed training ended with {_describe_exit(failure)}. "
                "Where there is no traceback, the system may have ended it for want of memory: "
                "look into the system's log, try a smaller batch_size, then retry the job; it goes "
                "on from its last checkpoint."
            ) from self._failure
        if self._failure is not None:
            raise self._failure


def _describe_exit(failure: ProcessFailure) -> str:
    return failure.signal_name() if failure.exitcode < 0 else f"exit code {failure.exitcode}"


def count_processes(device_type: str) -> int:
    return torch.cuda.device_count() if device_type == "cuda" else _CPU_PROCESSES


def _run_process(start: Start, messages: "Queue[Message | None]", stop: Event) -> None:
    """Train in one of the processes; the launcher has set its rank."""
    dist.init_process_group("nccl" if start.device_type == "cuda" else "gloo")
    rank = dist.get_rank()
    try:
        training = Training(
            start.spec,
            start.dataset,
            _choose_own_device(start.device_type, rank),
            resume=start.resume,
            initial_weights=None if start.initial_weights is None else load(start.initial_weights),
            should_stop=_Agreement(stop),
            checkpoint_interval_seconds=start.checkpoint_interval_seconds,
        )
        if start.device_type == "cpu":
            torch.set_num_threads(max(1, torch.get_num_threads() // dist.get_world_size()))
        for report in training:
            if rank == 0:
                state = training.state() if isinstance(report, CheckpointDue) else None
                messages.put(Message(report, training.epoch, training.step, state))
        if rank == 0:
            messages.put(_describe_end(training))
    except TenfoldError as error:
        if rank == 0:
            messages.put(Message(None, 0, 0, error=error))
    finally:
        messages.close()
        messages.join_thread()
        dist.destroy_process_group()


def _choose_own_device(device_type: str, rank: int) -> torch.device:
    if device_type != "cuda":
        return torch.device("cpu")
    torch.cuda.set_device(rank)
    return torch.device("cuda", rank)


def _describe_end(training: Training) -> Message:
    return Message(
        None,
        training.epoch,
        training.step,
        state=training.state(),
        weights=save(
            {name: t.cpu().contiguous() for name, t in training.result.state_dict().items()}
        ),
        is_finished=training.finished,
    )


class _Agreement:
    """The same answer in every process, so that none waits for one that has stopped."""

    def __init__(self, stop: Event) -> None:
        self._stop = stop
        # On the CPU, so that asking waits for no device.
        self._group: Any = dist.new_group(backend="gloo")

    def __call__(self) -> bool:
        answer = torch.tensor([self._stop.is_set()], dtype=torch.uint8)
        dist.broadcast(answer, src=0, group=self._group)
        return bool(answer.item())
