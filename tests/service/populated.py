"""A data folder with something at every address: data sets, jobs of every kind, models, reports."""

import json
from pathlib import Path

import numpy as np

from store import catalogue, jobs, keys, packed
from store.database import Database
from store.packed import Examples
from store.settings import Settings
from store.specs import JobRequest
from tests.service.serving import make_settings, publish
from tests.service.stand_in_worker import MODEL_FILES, StandInWorker

CLASSES = ("cat", "dog", "owl")
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 20, 30, 3), dtype=np.uint8)
NETWORK = {
    "name": "lenet",
    "summary": "A small network.",
    "input_shape": [3, 32, 32],
    "classes": 10,
    "smallest_side": 16,
    "parameter_count": 456,
    "layers": [],
    "parameters": [],
    "printed": "LeNet()",
    "loss_graph": {"nodes": [], "edges": []},
}
REPORT_FILES = {name: MODEL_FILES[name] for name in ("predictions.json", "report.json")}


def populate(folder: Path) -> Settings:
    """Fill a new data folder, and return settings on it.

    Jobs 1 and 2 have succeeded with models that answer and a report, 3 has failed, 4 runs with
    metrics and a checkpoint, 5 is queued.
    """
    settings = make_settings(folder)
    worker = StandInWorker(settings)
    worker.register()
    _describe_dataset(settings, worker)
    with worker.database.writing() as session:
        catalogue.put_network(session, "lenet", NETWORK, "<svg/>")
    for _ in range(2):
        publish(settings, extra_files=REPORT_FILES)
    with worker.database.writing() as session:
        for _ in range(3):
            jobs.submit(session, JobRequest(dataset="animals"))
    error = {"code": "training_failed", "message": "The loss is not a number.", "traceback": None}
    worker.fail(worker.claim(), error)
    claim = worker.claim()
    worker.report_steps(claim, 1, 2)
    worker.report_epoch(claim, 1, 2)
    worker.save_checkpoint(claim, {"state.json": json.dumps({"step": 2}).encode()})
    worker.close()
    return settings


def create_key(settings: Settings) -> str:
    """Return a key that may do everything; from then on the service asks for one."""
    database = Database(settings.resolved_database_url)
    try:
        with database.writing() as session:
            return keys.create(session, "conformance", keys.Scope)[1]
    finally:
        database.dispose()


def _describe_dataset(settings: Settings, worker: StandInWorker) -> None:
    labels = np.array([0, 1, 2, 0, 1, 2])
    copy = packed.pack(
        settings.packed_folder,
        name="animals",
        description="Noise.",
        source="a test",
        fingerprint="f00d",
        classes=CLASSES,
        splits={"train": Examples(PIXELS, labels), "test": Examples(PIXELS[:2], labels[:2])},
    )
    worker.describe_dataset(
        "animals",
        description=copy.description,
        classes=copy.classes,
        class_counts=copy.class_counts,
        height=copy.height,
        width=copy.width,
        fingerprint=copy.fingerprint,
        problem=None,
    )
