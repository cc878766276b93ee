"""One attempt at one job: training on one side, the database on the other."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

import torch
from safetensors.torch import load
from sqlalchemy.orm import Session
from torch import Tensor

from store import checkpoints, events, jobs, metrics, models, sweeps
from store.artifacts import ArtifactStore
from store.database import Database
from store.errors import ArtifactError, InvalidTransitionError, TrainingError
from store.jobs import Claim
from store.packed import PackedDataset
from store.reports import EpochReport, StepReport
from store.settings import Settings
from worker import datasets
from worker.datasets import LoadStoppedError
from worker.distributed import DistributedTraining
from worker.export import ExportStoppedError, export
from worker.pulse import Lease, StopReason
from worker.reports import CheckpointDue, Notice, Report
from worker.sweeps import is_hopeless
from worker.training import Training

AnyTraining = Training | DistributedTraining

# Reports that come faster than this are written together, so that none slows the training.
FLUSH_INTERVAL_SECONDS = 0.5


class JobRun:
    """Trains the claimed job and writes what happens, each write fenced by the claim's attempt."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        artifacts: ArtifactStore,
        device: torch.device,
        claim: Claim,
    ) -> None:
        self.settings = settings
        self.database = database
        self.artifacts = artifacts
        self.device = device
        self.claim = claim
        self.progress: dict[str, Any] | None = None
        self._unwritten: list[StepReport | EpochReport] = []
        self._last_epoch: EpochReport | None = None
        self._lease: Lease | None = None
        self._is_trial = False
        self._pruned_after_epoch = 0
        self._flushed_at = monotonic()

    def execute(self, lease: Lease) -> None:
        """Train to the end and publish, or stop as the lease says.

        Raises what training raises, and StaleAttemptError when another attempt owns the job.
        """
        self._lease = lease
        try:
            dataset = datasets.load(
                self.claim.spec.dataset, self.settings, self.notify, lease.should_stop
            )
        except LoadStoppedError:
            self._let_go(lease)
            return
        datasets.announce(dataset.name, self.settings, self.database)
        training = self._prepare(dataset, lease)
        for report in training:
            self._take(report, training)
        self._flush()
        if training.finished:
            # The end of its last epoch is kept already.
            if self._publish(training, dataset, lease):
                return
        elif lease.stop_reason is StopReason.PRUNED:
            self._prune()
            return
        elif lease.stop_reason is not StopReason.LOST:
            self._save_checkpoint(training)
        self._let_go(lease)

    def notify(self, kind: str, message: str, data: dict[str, Any]) -> None:
        """Add an event to the job."""
        with self.database.writing() as session:
            jobs.get_owned(session, self.claim)
            events.append(session, self.claim.job_id, kind, message, data)

    def _prepare(self, dataset: PackedDataset, lease: Lease) -> AnyTraining:
        resume = self._read_checkpoint()
        kind = DistributedTraining if self.claim.spec.parallelism == "distributed" else Training
        training = kind(
            self.claim.spec,
            dataset,
            self.device,
            resume=resume,
            initial_weights=self._read_initial_weights() if resume is None else None,
            should_stop=lease.should_stop,
            checkpoint_interval_seconds=self.settings.checkpoint_interval_seconds,
        )
        with self.database.writing() as session:
            jobs.get_owned(session, self.claim)
            metrics.discard_after(
                session, self.claim.job_id, step=training.step, epoch=training.epoch
            )
            self._is_trial = bool(sweeps.find_of_jobs(session, [self.claim.job_id]))
        return training

    def _read_initial_weights(self) -> dict[str, Tensor] | None:
        """Return the weights of the model that the spec begins with, if it names one."""
        reference = self.claim.spec.init_from
        if reference is None:
            return None
        with self.database.reading() as session:
            model = models.resolve(session, reference)
            weights = self.artifacts.read(session, model.artifact_id, "weights.safetensors")
        self.notify(
            "warm_start",
            f"Training begins with the weights of {model.name}@{model.version}.",
            {"model": model.name, "version": model.version},
        )
        return load(weights)

    def _read_checkpoint(self) -> dict[str, bytes] | None:
        """Return the newest checkpoint that is whole, or None to begin anew."""
        with self.database.reading() as session:
            known = checkpoints.list_newest_first(session, self.claim.job_id)
        for checkpoint in known:
            try:
                with self.database.reading() as session:
                    files = self.artifacts.read_all(session, checkpoint.artifact_id)
            except ArtifactError as error:
                if error.code != ArtifactError.code:
                    raise  # It may be whole: what failed is the reading.
                self._drop_damaged(checkpoint.id, error)
            else:
                self.notify(
                    "resumed_from_checkpoint",
                    f"Training goes on after step {checkpoint.step}.",
                    {"checkpoint": checkpoint.id, "epoch": checkpoint.epoch},
                )
                return files
        return None

    def _drop_damaged(self, checkpoint_id: int, error: ArtifactError) -> None:
        """Make room for a whole one: a damaged checkpoint must not count among those kept."""
        with self.database.writing() as session:
            jobs.get_owned(session, self.claim)
            checkpoints.discard(session, self.artifacts, checkpoint_id)
            events.append(
                session,
                self.claim.job_id,
                "checkpoint_damaged",
                f"Checkpoint {checkpoint_id} was dropped, the one before it is taken. "
                f"{error.message}",
                {"checkpoint": checkpoint_id},
            )

    def _take(self, report: Report, training: AnyTraining) -> None:
        if isinstance(report, Notice):
            self.notify(report.kind, report.message, report.data)
        elif isinstance(report, CheckpointDue):
            self._save_checkpoint(training)
        else:
            self._unwritten.append(report)
            self.progress = {
                "epoch": report.epoch,
                "epochs": self.claim.spec.epochs,
                "step": report.step,
                "steps": training.steps,
                "images_per_second": report.images_per_second,
                "elapsed_seconds": report.elapsed_seconds,
                "seconds_left": report.seconds_left,
            }
            if isinstance(report, EpochReport):
                self._last_epoch = report
                self._judge_trial(report.epoch)
            if monotonic() - self._flushed_at > FLUSH_INTERVAL_SECONDS:
                self._flush()

    def _judge_trial(self, epoch: int) -> None:
        """Stop a trial that cannot become the best of its sweep; one at its end is not stopped."""
        if self._is_trial and self._lease is not None and epoch < self.claim.spec.epochs:
            self._flush()
            if is_hopeless(self.database, self.claim.job_id, epoch):
                self._pruned_after_epoch = epoch
                self._lease.prune()

    def _flush(self) -> None:
        with self.database.writing() as session:
            seconds = self._lease.run_seconds if self._lease else None
            jobs.heartbeat(session, self.claim, self.progress, seconds)
            metrics.append(session, self.claim.job_id, self._unwritten)
        self._unwritten.clear()
        self._flushed_at = monotonic()

    def _save_checkpoint(self, training: AnyTraining) -> None:
        self._flush()
        state = training.state()
        # Within an epoch nobody has looked at the test images.
        last = self._last_epoch
        with self.database.writing() as session:
            jobs.add_checkpoint(
                session,
                self.artifacts,
                self.claim,
                state,
                epoch=training.epoch,
                step=training.step,
                test_accuracy=last.test_accuracy if last and last.step == training.step else None,
                kept=self.settings.checkpoints_kept,
            )

    def _publish(self, training: AnyTraining, dataset: PackedDataset, lease: Lease) -> bool:
        """Export, then end the job and publish its model in one transaction.

        Of the trials of a sweep only the best so far publish. Return False where the lease wants
        the worker to stop, and nothing was published.
        """
        try:
            if self._is_trial:
                with self.database.writing() as session:
                    if self._end_beaten(session):
                        return True
            with TemporaryDirectory(prefix="tenfold-export-") as folder:
                export(
                    training.result,
                    self.claim.spec,
                    dataset,
                    self.device,
                    Path(folder),
                    # A trial that got to its end is not pruned any more.
                    should_stop=lambda: lease.stop_reason not in {None, StopReason.PRUNED},
                )
                files = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
            manifest = json.loads(files["manifest.json"])
            with self.database.writing() as session:
                if self._end_beaten(session):
                    return True
                jobs.succeed(session, self.claim, self.progress)
                models.publish(session, self.artifacts, self.claim, files, manifest)
                # The weights are in the model now: one state to look at, and the best, will do.
                checkpoints.prune(session, self.claim.job_id, self.artifacts, kept=1)
        except ExportStoppedError:
            return False
        except InvalidTransitionError:
            # A cancel or a pause came while the model was being exported.
            self._release()
        return True

    def _end_beaten(self, session: Session) -> bool:
        """End a trial without a model where another one has done as well; tell whether it has."""
        better = sweeps.find_better(session, self.claim.job_id)
        if better is None:
            return False
        jobs.succeed(session, self.claim, self.progress)
        events.append(
            session,
            self.claim.job_id,
            "not_published",
            f"Trial {better.number} (job {better.job_id}) has done as well or better: no model is "
            "published.",
            {"trial": better.number, "job": better.job_id},
        )
        checkpoints.prune(session, self.claim.job_id, self.artifacts, kept=1)
        return True

    def _prune(self) -> None:
        try:
            with self.database.writing() as session:
                sweeps.prune(session, self.claim, self._pruned_after_epoch)
                checkpoints.prune(session, self.claim.job_id, self.artifacts, kept=1)
        except InvalidTransitionError:
            self._release()

    def _let_go(self, lease: Lease) -> None:
        """Leave the job as the reason to stop asks for."""
        if lease.stop_reason is StopReason.OUT_OF_TIME:
            raise TrainingError(
                f"The job ran for its max_run_seconds of {self.claim.max_run_seconds:g}: retry it "
                "to give it as long again; it continues from its last checkpoint.",
                code="run_time_exceeded",
            )
        if lease.stop_reason is not StopReason.LOST:
            self._release()

    def _release(self) -> None:
        with self.database.writing() as session:
            jobs.release(session, self.claim)
