"""Published models without training, and the real server on a port of its own."""

import asyncio
import io
import json
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from service.__main__ import Server, build_config
from service.loaded_models import LoadedModels
from service.model_cache import ModelCache
from service.monitoring import Monitoring
from store import jobs, migrations, models
from store.artifacts import open_store
from store.database import Database
from store.settings import Settings
from store.specs import JobRequest

CLASSES = ["ant", "bee", "cow", "dog", "elk", "fox", "gnu", "hen", "ibex", "jay"]


def build_network(
    seed: int = 0, *, height: int = 32, width: int = 32, channels: int = 3, classes: int = 10
) -> bytes:
    """Return a linear network as ONNX, of the shape that the worker publishes."""
    generator = np.random.default_rng(seed)
    inputs = height * width * channels
    weight = generator.standard_normal((inputs, classes)) / (255 * np.sqrt(inputs) / 20)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["values"], to=TensorProto.FLOAT),
            helper.make_node("Flatten", ["values"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weight"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probabilities"], axis=-1),
        ],
        "linear",
        [
            helper.make_tensor_value_info(
                "images", TensorProto.UINT8, ["batch", height, width, channels]
            )
        ],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", classes])],
        [numpy_helper.from_array(weight.astype(np.float32), "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content


def publish(
    settings: Settings,
    name: str = "animals",
    network: bytes | None = None,
    *,
    height: int = 32,
    width: int = 32,
    color: str = "rgb",
    extra_files: Mapping[str, bytes] | None = None,
) -> int:
    """Publish a network as the next version of `name` through a job, and return the version."""
    manifest = {
        "format_version": 1,
        "dataset": "shapes",
        "classes": CLASSES,
        "input": {
            "height": height,
            "width": width,
            "color": color,
            "layout": "NHWC",
            "dtype": "uint8",
        },
        "metrics": {"accuracy": 0.5},
    }
    files = {
        "model.onnx": build_network() if network is None else network,
        "manifest.json": json.dumps(manifest).encode(),
        **(extra_files or {}),
    }
    database = Database(settings.resolved_database_url)
    try:
        migrations.upgrade(database)
        with database.writing() as session:
            jobs.submit(session, JobRequest(dataset="shapes", model=name))
            claim = jobs.claim(session, "worker")
            assert claim is not None
            artifacts = open_store(settings.artifacts_url)
            version = models.publish(session, artifacts, claim, files, manifest).version
            jobs.succeed(session, claim, None)
        return version
    finally:
        database.dispose()


def make_settings(folder: Path, **fields: Any) -> Settings:
    """Return settings on a data folder of their own, with its database migrated."""
    settings = Settings(_env_file=None, data=folder, **fields)
    database = Database(settings.resolved_database_url)
    migrations.upgrade(database)
    database.dispose()
    return settings


@contextmanager
def serve(settings: Settings) -> Iterator[httpx.Client]:
    """Run the server as production does, in a thread, and yield a client of it."""
    config = build_config(settings)
    config.port = 0
    server = Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            assert time.monotonic() < deadline, "the server did not start in time"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(30)


def run_with_models(
    settings: Settings, scenario: Callable[[LoadedModels], Coroutine[Any, Any, None]]
) -> None:
    """Run `scenario` with the models that the service would hold, without HTTP."""

    async def main() -> None:
        database = Database(settings.resolved_database_url)
        artifacts = open_store(settings.artifacts_url)
        loaded = LoadedModels(database, ModelCache(settings, database, artifacts, Monitoring()))
        try:
            await scenario(loaded)
        finally:
            await loaded.stop()
            database.dispose()

    asyncio.run(main())


def make_pixels(seed: int, height: int = 32, width: int = 32) -> NDArray[np.uint8]:
    """Return a picture (height, width, 3) that no other seed makes."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encode(pixels: NDArray[np.uint8], kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()
