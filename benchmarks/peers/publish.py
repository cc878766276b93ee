"""Publish a network of the benchmark into a data folder, as a worker publishes what it trained."""

import io
import json
from pathlib import Path

import torch
from peers.network import CLASSES, build

from store import jobs, migrations, models
from store.artifacts import open_store
from store.database import Database
from store.settings import Settings
from store.specs import JobRequest


def export_network(name: str) -> bytes:
    """Return the network as ONNX with a dynamic batch."""
    file = io.BytesIO()
    program = torch.onnx.export(
        build(name),
        (torch.zeros(2, 32, 32, 3, dtype=torch.uint8),),
        dynamo=True,
        input_names=["images"],
        output_names=["probabilities"],
        dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
        verbose=False,
    )
    program.save(file)
    return file.getvalue()


def publish_network(folder: Path, name: str) -> None:
    """Publish `small` or `large` as version 1 of the model `animals`."""
    manifest = {
        "format_version": 1,
        "dataset": "shapes",
        "classes": [f"class {index}" for index in range(CLASSES)],
        "input": {"height": 32, "width": 32, "color": "rgb", "layout": "NHWC", "dtype": "uint8"},
        "metrics": {"accuracy": 0.0},
    }
    settings = Settings(_env_file=None, data=folder)
    database = Database(settings.resolved_database_url)
    migrations.upgrade(database)
    with database.writing() as session:
        jobs.submit(session, JobRequest(dataset="shapes", model="animals"))
        claim = jobs.claim(session, "benchmark")
        files = {"model.onnx": export_network(name), "manifest.json": json.dumps(manifest).encode()}
        models.publish(session, open_store(settings.artifacts_url), claim, files, manifest)
        jobs.succeed(session, claim, None)
    database.dispose()
