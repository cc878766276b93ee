"""The training loop: a spec and a data set in, reports and a trained network out.

It knows no database and no job: `for report in training` runs it, and whoever iterates decides
what becomes of the reports.
"""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from store import memory
from store.errors import TrainingError
from store.packed import PackedDataset
from store.reports import EpochReport, StepReport
from store.specs import TrainingSpec
from worker import (
    arithmetic,
    checkpoints,
    compilation,
    networks,
    optimizers,
    parallel,
    warm_start,
)
from worker.arithmetic import Arithmetic
from worker.augmentation import resize
from worker.averaging import build_average
from worker.batches import Batches, LabelledImages, load_split, normalise
from worker.checkpoints import SavedState
from worker.early_stopping import EarlyStopping
from worker.precision import Precision
from worker.progress import Lap, Progress
from worker.reports import CheckpointDue, Notice, Report
from worker.steps import build_step
from worker.threads import use_threads
from worker.views import ViewAveraging

__all__ = ["CheckpointDue", "EpochReport", "Notice", "Report", "StepReport", "Training"]

_TEST_BATCH_IMAGES = 500
# What weights computed from images are computed from.
_SAMPLE_IMAGES = 2_000


class Training:
    """One network, trained as `spec` says.

    Iterating trains and yields reports. It ends when the last epoch is done, or soon after
    `should_stop`, which is asked at every step, answers yes; `finished` tells which. `state()` may
    be called at every report and after the end; it gives files from which another Training goes
    on (`resume`). On the CPU a run that is taken up again computes, bit for bit, what it would
    have computed without the interruption.

    Raises TrainingError where training cannot go on: a loss that is not finite, a network that
    does not fit the images, resume files of another spec or data set.
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
        use_threads(spec)
        memory.keep_freed_memory()
        self.spec = spec
        self.finished = False
        self._dataset = dataset
        self._should_stop = should_stop
        saved = None if resume is None else self._read(resume)
        self.network = networks.build_for(spec, dataset).to(device)
        self._batches = Batches(dataset, spec, device, self.network.smallest_side)
        self._test_examples = load_split(dataset, "test", spec.color, device)

        sample = self._batches.sample(_SAMPLE_IMAGES)
        self.network.initialise_from(sample)
        if initial_weights is not None:
            warm_start.load(self.network, initial_weights, spec)
        self._arithmetic = (
            arithmetic.choose(spec, self.network, sample)
            if saved is None
            else Arithmetic(**saved.about["arithmetic"])
        )
        self._arithmetic.arrange_network(self.network)
        self._precision = Precision(self._arithmetic.precision, device)
        compiled = compilation.compile_network(self.network, spec.compilation)
        self._model = parallel.wrap(compiled, spec, device, self._precision)
        self._average = build_average(self.network, spec.ema_decay)
        self._early_stopping = EarlyStopping(spec.patience_epochs)
        self._compute_loss = optimizers.build_loss(spec, len(dataset.classes), device)
        self._optimizers = optimizers.build_optimizers(spec, self.network)
        self._step = build_step(
            self.network,
            model=self._model,
            compute_loss=self._compute_loss,
            optimizers=self._optimizers,
            arithmetic=self._arithmetic,
            precision=self._precision,
            batch_numbers=spec.batch_size * sample[0].numel(),
        )

        # The position: epochs done, and steps done of the next one.
        self.epoch = 0
        self._epoch_step = 0
        # Sums since the last step report, and since the epoch began; they stay on the device.
        self._running_loss = torch.zeros((), device=device)
        self._epoch_loss = torch.zeros((), device=device)
        self._epoch_hits = torch.zeros((), dtype=torch.int64, device=device)
        earlier_seconds = 0.0 if saved is None else self._restore(saved)
        self._progress = Progress(
            self.step, self.steps, earlier_seconds, checkpoint_interval_seconds
        )

    def __iter__(self) -> Iterator[Report]:
        yield from self._arithmetic.list_notices()
        if isinstance(self._model, nn.DataParallel):
            images, _ = next(self._batches.epoch(0, first_step=0))
            yield parallel.observe_replicas(self._model, self.network, images)
        while self.epoch < self.spec.epochs and not self._early_stopping.should_stop:
            yield from self._train_epoch()
            evaluation = self._evaluate(self._test_examples)
            validation = self._evaluate(self._batches.held_out)
            if evaluation is None or validation is None:
                return
            accuracy = parallel.agree(validation[1])
            yield self._end_epoch(*evaluation, accuracy if self._batches.held_out else None)
            yield from self._early_stopping.observe(self.epoch, accuracy, self.result)
            yield CheckpointDue()
        self._early_stopping.restore_best(self.result)
        self.finished = True

    @property
    def result(self) -> nn.Module:
        """The network to publish: the trained one, or its moving average."""
        return self._average.network

    def _train_epoch(self) -> Iterator[Report]:
        self.network.train()
        self._report_lap = Lap(self.step)
        self._epoch_lap = Lap(self.step)
        for images, labels in self._batches.epoch(self.epoch, first_step=self._epoch_step):
            if self._should_stop():
                return
            self._take_step(images, labels)
            if self._epoch_step % self.spec.report_every_steps == 0:
                yield self._report_step()
            if self._progress.checkpoint_is_due():
                self._read_loss(self._epoch_loss)
                yield CheckpointDue()
        self._read_loss(self._epoch_loss)  # waits for the device, so that the pace is true
        self._images_per_second = self._epoch_lap.end(self.step) * self.spec.batch_size

    def _take_step(self, images: Tensor, labels: Tensor) -> None:
        """Forward, backward, update. Nothing here waits for the device."""
        optimizers.set_learning_rates(self._optimizers, self._schedule_share(self.step))
        loss, hits = self._step(self._arithmetic.arrange(images), labels)
        self._average.update()
        self._running_loss += loss
        self._epoch_loss += loss
        self._epoch_hits += hits
        self._epoch_step += 1

    def _report_step(self) -> StepReport:
        loss = self._read_loss(self._running_loss) / self.spec.report_every_steps
        self._running_loss.zero_()
        return StepReport(
            epoch=self.epoch + 1,
            step=self.step,
            loss=loss,
            learning_rate=self._learning_rate(self.step - 1),
            images_per_second=self._report_lap.end(self.step) * self.spec.batch_size,
            elapsed_seconds=self._progress.elapsed_seconds,
            seconds_left=self._progress.seconds_left(self.step),
        )

    def measure_accuracy(self) -> float:
        """Return the accuracy on the test images, by the views that the spec publishes."""
        views = ViewAveraging(self.result, self.spec.test_time_augmentation)
        hits = sum(hits for _, hits in self._judge(views, self._test_examples))
        return int(hits) / len(self._test_examples)

    def _evaluate(self, examples: LabelledImages) -> tuple[float, float] | None:
        """Return loss and accuracy over `examples`, or None where the run is to stop."""
        loss = torch.zeros_like(self._epoch_loss)
        hits = torch.zeros_like(self._epoch_hits)
        for batch_loss, batch_hits in self._judge(self.result, examples):
            if self._should_stop():
                return None
            loss += batch_loss
            hits += batch_hits
        count = max(1, len(examples))  # nothing may be held out
        return loss.item() / count, hits.item() / count

    @torch.no_grad()
    def _judge(
        self, network: nn.Module, examples: LabelledImages
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the sum of the losses and the number of hits of each batch of `examples`.

        The images have the side of the last training step's: a network that has seen small images
        only is judged on small images.
        """
        side = self._batches.side_at(max(0, self.step - 1))
        network.eval()
        for start in range(0, len(examples), _TEST_BATCH_IMAGES):
            images = examples.images[start : start + _TEST_BATCH_IMAGES]
            labels = examples.labels[start : start + _TEST_BATCH_IMAGES]
            pixels = self._arithmetic.arrange(normalise(resize(images, side)))
            with self._precision.autocast():
                outputs = network(pixels)  # (N, classes)
                loss = self._compute_loss(outputs, labels)
            yield loss * len(labels), (outputs.argmax(1) == labels).sum()
        network.train()

    def _end_epoch(
        self, test_loss: float, test_accuracy: float, validation_accuracy: float | None
    ) -> EpochReport:
        report = EpochReport(
            epoch=self.epoch + 1,
            step=self.step,
            train_loss=self._read_loss(self._epoch_loss) / self._epoch_step,
            train_accuracy=self._epoch_hits.item() / len(self._batches),
            test_loss=self._check_finite(test_loss),
            test_accuracy=test_accuracy,
            validation_accuracy=validation_accuracy,
            learning_rate=self._learning_rate(self.step - 1),
            images_per_second=self._images_per_second,
            elapsed_seconds=self._progress.elapsed_seconds,
            seconds_left=self._progress.seconds_left(self.step),
        )
        self.epoch, self._epoch_step = self.epoch + 1, 0
        for total in (self._running_loss, self._epoch_loss, self._epoch_hits):
            total.zero_()
        return report

    @property
    def steps_per_epoch(self) -> int:
        return self._batches.steps_per_epoch

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.spec.epochs * self.steps_per_epoch

    @property
    def step(self) -> int:
        """Steps done so far."""
        return self.epoch * self._batches.steps_per_epoch + self._epoch_step

    def _schedule_share(self, step: int) -> float:
        return optimizers.schedule_share(self.spec, step, self.steps)

    def _learning_rate(self, step: int) -> float:
        return self.spec.learning_rate * self._schedule_share(step)

    def _read_loss(self, total: Tensor) -> float:
        """Return a sum of losses; a loss that was not finite at any step shows in it."""
        return self._check_finite(total.item())

    def _check_finite(self, value: float) -> float:
        if not math.isfinite(value):
            rate = self._learning_rate(self.step - 1)
            raise TrainingError(
                f"the loss is not finite at step {self.step} with learning rate {rate:g}: "
                "try a learning rate ten times smaller, or precision fp32",
                step=self.step,
                learning_rate=rate,
            )
        return value

    def state(self) -> dict[str, bytes]:
        """Return everything that is needed to go on from here, as file names and contents."""
        best_weights, early_stopping = self._early_stopping.state()
        tensors = {
            **checkpoints.prefixed("network", self.network.state_dict()),
            **checkpoints.prefixed("average", self._average.state()),
            **checkpoints.prefixed("best", best_weights),
            **checkpoints.prefixed("optimizers", checkpoints.optimizers_state(self._optimizers)),
            **checkpoints.prefixed("sums", self._sums()),
        }
        about = {
            "spec": self.spec.model_dump(),
            "dataset_fingerprint": self._dataset.fingerprint,
            "epoch": self.epoch,
            "step": self._epoch_step,
            "elapsed_seconds": self._progress.elapsed_seconds,
            "arithmetic": self._arithmetic.describe(),
            "precision": self._precision.state(),
            "early_stopping": early_stopping,
        }
        return checkpoints.to_files(tensors, about)

    def _read(self, files: dict[str, bytes]) -> SavedState:
        """Return the state in `files`, which must be of this spec and these pictures."""
        saved = checkpoints.from_files(files)
        if saved.about["spec"] != self.spec.model_dump():
            raise TrainingError("the checkpoint belongs to another spec: submit a new job")
        if saved.about["dataset_fingerprint"] != self._dataset.fingerprint:
            raise TrainingError(
                f"data set {self._dataset.name} has changed since the checkpoint was made: "
                "restore the pictures, or submit a new job"
            )
        return saved

    def _restore(self, saved: SavedState) -> float:
        """Take up the state; return the seconds that were spent on it."""
        about = saved.about
        self.network.load_state_dict(saved.part("network"))
        self._average.restore(saved.part("average"))
        self._early_stopping.restore(saved.part("best"), about["early_stopping"])
        checkpoints.restore_optimizers(self._optimizers, saved.part("optimizers"))
        for name, total in saved.part("sums").items():
            self._sums()[name].copy_(total)
        self._precision.restore(about["precision"])
        self.epoch, self._epoch_step = about["epoch"], about["step"]
        return float(about["elapsed_seconds"])

    def _sums(self) -> dict[str, Tensor]:
        return {
            "running_loss": self._running_loss,
            "epoch_loss": self._epoch_loss,
            "epoch_hits": self._epoch_hits,
        }
