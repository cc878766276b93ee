"""Claim, train, publish: what a worker does from its start to its stop."""

import logging
import os
import platform
from dataclasses import asdict
from threading import Event
from time import monotonic
from typing import Any
from uuid import uuid4

import torch

from store import catalogue, jobs, memory, workers
from store.artifacts import ArtifactStore
from store.database import Database
from store.errors import DatabaseError, DatasetError, StaleAttemptError
from store.jobs import Claim
from store.refusals import explain_refusal
from store.rescue import Rescue
from store.settings import Settings
from worker import datasets, networks, sweeps
from worker.datasets import LoadStoppedError
from worker.failures import describe_failure
from worker.job_run import JobRun
from worker.last_words import LastWords
from worker.network_description import describe
from worker.pulse import Pulse

IDLE_INTERVAL_SECONDS = 0.5
CATALOGUE_INTERVAL_SECONDS = 10.0
RETRY_SECONDS = 1.0

log = logging.getLogger(__name__)


class Worker:
    """Runs jobs one after the other until `shutdown` is set."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        artifacts: ArtifactStore,
        device: torch.device,
        shutdown: Event,
    ) -> None:
        self.settings = settings
        self.database = database
        self.artifacts = artifacts
        self.device = device
        self.shutdown = shutdown
        self.id = f"{platform.node()[:40]}-{os.getpid()}-{uuid4().hex[:6]}"
        self._unpackable: set[str] = set()
        self._next_catalogue = monotonic()

    def run(self) -> None:
        with self.database.writing() as session:
            workers.register(
                session,
                self.id,
                host=platform.node(),
                pid=os.getpid(),
                device=_describe_device(self.device),
            )
        rescue = Rescue(self.database, self.settings.lease_seconds, self.settings.crashes_folder)
        with (
            LastWords(self.settings.crashes_folder, self.id) as last_words,
            Pulse(
                self.database,
                self.id,
                self.shutdown,
                rescue=rescue,
                last_words=last_words,
                heartbeat_interval_seconds=self.settings.heartbeat_interval_seconds,
            ) as pulse,
        ):
            self._clean_up()
            self._publish_networks()
            log.info("Worker %s is ready on %s.", self.id, self.device)
            self._run_jobs(pulse)
        self._retire()

    def _run_jobs(self, pulse: Pulse) -> None:
        while not self.shutdown.is_set():
            try:
                has_worked = self._take_turn(pulse)
            except DatabaseError as error:
                # A full disk, say: the worker stays, and goes on when the database does.
                log.warning("Waiting for the database: %s", error)
                self.shutdown.wait(RETRY_SECONDS)
            except OSError as error:
                # A data folder that cannot be listed, say; what a job meets is kept with the job.
                log.warning("Waiting for the system: %s", explain_refusal(error) or error)
                self.shutdown.wait(RETRY_SECONDS)
            else:
                if not has_worked:
                    self.shutdown.wait(IDLE_INTERVAL_SECONDS)

    def _take_turn(self, pulse: Pulse) -> bool:
        """Do one thing that is to be done, jobs first; return whether there was any."""
        sweeps.advance(self.database)
        with self.database.writing() as session:
            claim = jobs.claim(session, self.id)
        if claim is not None:
            self._run_job(claim, pulse)
        elif monotonic() >= self._next_catalogue:
            self._publish_datasets()
            self._next_catalogue = monotonic() + CATALOGUE_INTERVAL_SECONDS
        else:
            return self.database.reclaim_space()
        return True

    def _run_job(self, claim: Claim, pulse: Pulse) -> None:
        run = JobRun(self.settings, self.database, self.artifacts, self.device, claim)
        log.info("Job %d: attempt %d begins.", claim.job_id, claim.attempt)
        with pulse.follow(claim, lambda: run.progress) as lease:
            try:
                run.execute(lease)
            except StaleAttemptError as error:
                log.warning("Job %d: %s", claim.job_id, error)
            except Exception as error:  # noqa: BLE001 -- whatever ended it is kept with the job
                self._record_failure(claim, error)
        memory.release_freed_memory()

    def _record_failure(self, claim: Claim, error: Exception) -> None:
        """Keep with the job what went wrong, as soon as the database lets us."""
        log.error("Job %d failed.", claim.job_id, exc_info=error)
        while True:
            try:
                with self.database.writing() as session:
                    jobs.fail(session, claim, describe_failure(error))
            except StaleAttemptError as stale:
                log.warning("Job %d: %s", claim.job_id, stale)
            except DatabaseError as refusal:
                log.warning("The failure of job %d is not recorded yet: %s", claim.job_id, refusal)
                if not self.shutdown.wait(RETRY_SECONDS):
                    continue
            return

    def _clean_up(self) -> None:
        """Remove what a crash left between the writing of an artifact's files and their rows."""
        with self.database.writing() as session:
            for name in self.artifacts.remove_orphans(session):
                log.info("Removed %s, which belongs to no checkpoint and no model.", name)

    def _retire(self) -> None:
        try:
            with self.database.writing() as session:
                workers.retire(session, self.id)
        except DatabaseError as error:
            log.warning("The worker could not sign off: %s", error)
        log.info("Worker %s has stopped.", self.id)

    def _publish_networks(self) -> None:
        for name in networks.NETWORKS:
            description, graph_svg = describe(name)
            with self.database.writing() as session:
                catalogue.put_network(session, name, description, graph_svg)

    def _publish_datasets(self) -> None:
        """Tell the web process what can be trained on, and pack what nobody has packed yet."""
        entries = datasets.catalogue(self.settings)
        with self.database.writing() as session:
            catalogue.put_datasets(session, {entry.name: asdict(entry) for entry in entries})
        unpacked = next((entry.name for entry in entries if self._is_worth_packing(entry)), None)
        if unpacked is not None:
            self._pack_dataset(unpacked)

    def _is_worth_packing(self, entry: datasets.CatalogueEntry) -> bool:
        return entry.state == "available" and entry.name not in self._unpackable

    def _pack_dataset(self, name: str) -> None:
        """Pack ahead of the first job, so that it starts at once and samples can be looked at."""
        try:
            datasets.load(name, self.settings, _log_notice, self.shutdown.is_set)
            datasets.announce(name, self.settings, self.database)
        except LoadStoppedError:
            return
        except DatasetError as error:
            # The job that names this data set will fail with the same sentence.
            log.warning("Data set %s: %s", name, error)
            self._unpackable.add(name)


def _log_notice(_kind: str, message: str, _data: dict[str, Any]) -> None:
    log.info("%s", message)


def _describe_device(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} {torch.cuda.get_device_name(device)}"
    return f"{device} with {torch.get_num_threads()} threads"
