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

from store import catalogue, jobs, workers
from store.artifacts import ArtifactStore
from store.database import Database
from store.errors import DatasetError, StaleAttemptError, TenfoldError
from store.jobs import Claim
from store.settings import Settings
from worker import datasets, networks
from worker.datasets import LoadStoppedError
from worker.job_run import JobRun, describe_failure
from worker.network_description import describe
from worker.pulse import Pulse

IDLE_INTERVAL_SECONDS = 0.5
CATALOGUE_INTERVAL_SECONDS = 10.0

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

    def run(self) -> None:
        with self.database.writing() as session:
            workers.register(
                session,
                self.id,
                host=platform.node(),
                pid=os.getpid(),
                device=_describe_device(self.device),
            )
        pulse = Pulse(
            self.database,
            self.id,
            self.shutdown,
            heartbeat_interval_seconds=self.settings.heartbeat_interval_seconds,
            lease_seconds=self.settings.lease_seconds,
        )
        log.info("Worker %s is ready on %s.", self.id, self.device)
        try:
            with pulse:
                self._publish_networks()
                self._run_jobs(pulse)
        finally:
            with self.database.writing() as session:
                workers.retire(session, self.id)
            log.info("Worker %s has stopped.", self.id)

    def _run_jobs(self, pulse: Pulse) -> None:
        next_catalogue = monotonic()
        while not self.shutdown.is_set():
            with self.database.writing() as session:
                claim = jobs.claim(session, self.id)
            if claim is not None:
                self._run_job(claim, pulse)
            elif monotonic() >= next_catalogue:
                self._publish_datasets()
                next_catalogue = monotonic() + CATALOGUE_INTERVAL_SECONDS
            else:
                self.shutdown.wait(IDLE_INTERVAL_SECONDS)

    def _run_job(self, claim: Claim, pulse: Pulse) -> None:
        run = JobRun(self.settings, self.database, self.artifacts, self.device, claim)
        log.info("Job %d: attempt %d begins.", claim.job_id, claim.attempt)
        try:
            with pulse.follow(claim, lambda: run.progress) as lease:
                run.execute(lease)
        except StaleAttemptError as error:
            log.warning("Job %d: %s", claim.job_id, error)
        except Exception as error:  # noqa: BLE001 -- whatever ended the job is kept with the job
            self._record_failure(claim, error)

    def _record_failure(self, claim: Claim, error: Exception) -> None:
        """Keep what went wrong with the job; when even that fails, the lease runs out."""
        log.error("Job %d failed.", claim.job_id, exc_info=error)
        try:
            with self.database.writing() as session:
                jobs.fail(session, claim, describe_failure(error))
        except TenfoldError:
            log.exception("The failure of job %d could not be recorded.", claim.job_id)

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
