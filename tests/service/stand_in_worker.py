"""Writes to the database what a worker writes, through the same functions, without training."""

import json
from collections.abc import Mapping
from typing import Any

from store import catalogue, checkpoints, events, jobs, metrics, models, workers
from store.artifacts import open_store
from store.database import Database
from store.jobs import Claim
from store.reports import EpochReport, StepReport
from store.settings import Settings
from store.tables import Model

CLASSES = ["cat", "dog", "owl"]
REPORT: dict[str, Any] = {
    "dataset": "animals",
    "split": "test",
    "images": 5,
    "accuracy": 0.6,
    "top_3_accuracy": 1.0,
    "mean_loss": 1.25,
    "expected_calibration_error": 0.125,
    "calibration_bins": [
        {"lower": 0.0, "upper": 1.0, "images": 5, "confidence": 0.725, "accuracy": 0.6}
    ],
    "classes": [
        {
            "name": name,
            "images": 1,
            "predicted": 0,
            "accuracy": 0.0,
            "precision": None,
            "recall": 0.0,
            "f1": None,
        }
        for name in CLASSES
    ],
    "macro_average": {"precision": 0.0, "recall": 0.0, "f1": 0.0},
    "confusion_matrix": [[1, 1, 0], [0, 2, 0], [1, 0, 0]],
    "most_confident_mistakes": [
        {"index": 1, "label": "cat", "predicted": "dog", "confidence": 0.875}
    ],
}
PREDICTIONS = {
    "labels": [0, 0, 1, 1, 2],
    "predicted": [0, 1, 1, 1, 0],
    "confidence": [0.5, 0.875, 0.75, 0.625, 0.5],
}
MANIFEST: dict[str, Any] = {
    "format_version": 1,
    "dataset": {"name": "animals", "fingerprint": "f00d"},
    "classes": CLASSES,
    "metrics": {"accuracy": 0.6},
}
# More than one chunk of the artifact store, and no repeating pattern.
LARGE_FILE = bytes(index * index % 251 for index in range((1 << 20) + 12_345))
MODEL_FILES = {
    "manifest.json": json.dumps(MANIFEST).encode(),
    "model.onnx": LARGE_FILE,
    "predictions.json": json.dumps(PREDICTIONS).encode(),
    "report.json": json.dumps(REPORT).encode(),
}


class StandInWorker:
    """One worker; each method is one transaction of its life."""

    def __init__(self, settings: Settings) -> None:
        self.id = "stand-in"
        self.database = Database(settings.resolved_database_url)
        self.artifacts = open_store(settings.artifacts_url)

    def close(self) -> None:
        self.database.dispose()

    def register(self) -> None:
        with self.database.writing() as session:
            workers.register(session, self.id, host="here", pid=1, device="cpu")

    def retire(self) -> None:
        with self.database.writing() as session:
            workers.retire(session, self.id)

    def claim(self) -> Claim:
        with self.database.writing() as session:
            claim = jobs.claim(session, self.id)
        assert claim is not None
        return claim

    def notify(self, claim: Claim, kind: str, message: str = "", **data: Any) -> None:
        with self.database.writing() as session:
            events.append(session, claim.job_id, kind, message, data)

    def report_steps(self, claim: Claim, *steps: int, epoch: int = 1) -> None:
        with self.database.writing() as session:
            reports = [StepReport(epoch, step, 2.0, 0.001, 900.0, 1.0, 9.0) for step in steps]
            metrics.append(session, claim.job_id, reports)

    def report_epoch(self, claim: Claim, epoch: int, step: int) -> None:
        with self.database.writing() as session:
            report = EpochReport(epoch, step, 1.5, 0.4, 1.25, 0.5, 0.001, 900.0, 1.0, 9.0)
            metrics.append(session, claim.job_id, [report])

    def save_checkpoint(self, claim: Claim, files: Mapping[str, bytes], step: int = 1) -> int:
        with self.database.writing() as session:
            return checkpoints.add(
                session,
                self.artifacts,
                files,
                job_id=claim.job_id,
                attempt=claim.attempt,
                epoch=1,
                step=step,
            ).id

    def succeed(self, claim: Claim) -> Model:
        with self.database.writing() as session:
            jobs.succeed(session, claim, {"step": 2})
            return models.publish(session, self.artifacts, claim, MODEL_FILES, MANIFEST)

    def fail(self, claim: Claim, error: dict[str, Any]) -> None:
        with self.database.writing() as session:
            jobs.fail(session, claim, error)

    def describe_dataset(self, name: str, **description: Any) -> None:
        with self.database.writing() as session:
            catalogue.put_dataset(session, name, {"state": "ready", **description})

    def describe_network(self, name: str, graph_svg: str, **description: Any) -> None:
        with self.database.writing() as session:
            catalogue.put_network(session, name, {"name": name, **description}, graph_svg)
