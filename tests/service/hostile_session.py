"""Asks a service for everything with hostile names, and prints what of it reached the system.

A process of its own, because an audit hook of Python cannot be taken off again. Prints JSON:
`unpickled` (names that a pickle was about to load), `touched` (paths with the marker in them),
`is_awake` (whether it sees either), and `statuses` (of the replies).
"""

import http.client
import io
import json
import pickle
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from service.app import create_app
from tests.service.serving import make_settings as make
from tests.service.serving import publish, serve

MARKER = "canary-7f3a"
HOSTILE = [
    f"../{MARKER}",
    f"..%2f..%2f{MARKER}",
    f"/etc/{MARKER}",
    f"%2fetc%2f{MARKER}",
    f"{MARKER}%00.png",
    f"..\\{MARKER}",
    f"file:%2f%2f{MARKER}",
    f"{MARKER}%0a",
    f"~{MARKER}",
    f"%252e%252e%252f{MARKER}",
    f"{MARKER}@1",
    f"{MARKER}@..",
    f"%e2%80%a6{MARKER}",
    f"$(touch {MARKER})",
    f"{MARKER};id",
]
# What Python reports before it opens, lists, makes, moves or removes something.
_PATH_EVENTS = ("open", "os.", "shutil.", "glob.", "pathlib.", "subprocess.", "tempfile.")


class Trap:
    """Would name `MARKER` to the system when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.exists, (Path(MARKER),))


class Watcher:
    """Notes what the service does, from the moment that it is told to."""

    def __init__(self) -> None:
        self.is_watching = False
        self.unpickled: list[str] = []
        self.touched: list[str] = []
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.is_watching:
            return
        if event == "pickle.find_class":
            self.unpickled.append(repr(arguments))
        elif event.startswith(_PATH_EVENTS):
            text = repr(arguments)
            if MARKER in text:
                self.touched.append(f"{event} {text[:200]}")

    def prove_awake(self) -> bool:
        """Tell whether a file that is opened and a pickle that is loaded are noticed."""
        self.is_watching = True
        with suppress(FileNotFoundError):
            Path(f"/{MARKER}").read_bytes()
        pickle.loads(pickle.dumps(Trap()))  # noqa: S301 -- our own
        is_awake = len(self.touched) == 1 and bool(self.unpickled)
        self.touched, self.unpickled = [], []
        return is_awake


def list_targets(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield method and raw address of every operation with each hostile name in each place."""
    for path, methods in document["paths"].items():
        names = re.findall(r"{(\w+)}", path)
        for method, operation in methods.items():
            for name in names:
                for value in HOSTILE:
                    address = path.replace(f"{{{name}}}", quote(value, safe="%/\\$();@~:"))
                    yield method.upper(), re.sub(r"{\w+}", "1", address)
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "query":
                    address = re.sub(r"{\w+}", "1", path)
                    for value in HOSTILE:
                        yield method.upper(), f"{address}?{parameter['name']}={quote(value)}"


def ask(port: int, method: str, target: str) -> int:
    """Send the address as it is: a client library would tidy it up."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection._validate_path = lambda _: None  # type: ignore[attr-defined]  # noqa: SLF001
    try:
        connection.request(method, target.replace(" ", "%20"))
        return connection.getresponse().status
    finally:
        connection.close()


def list_bodies() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield requests whose bodies carry hostile names, or pickles."""
    trap = pickle.dumps(Trap())
    for value in HOSTILE:
        for field in ("dataset", "model", "recipe", "network", "init_from"):
            yield "/jobs", {"json": {"dataset": "shapes", field: value}}
        yield "/predict", {"files": {"file": (value, trap)}}
        yield "/predict", {"json": {"images": [value]}}
    for path in ("/predict", "/explain", "/v2/models/animals/infer", "/jobs"):
        for kind in ("application/octet-stream", "image/png", "application/json", "text/x-pickle"):
            yield path, {"content": trap, "headers": {"Content-Type": kind}}
    file = io.BytesIO()
    pickle.dump(Trap(), file)
    yield "/predict", {"files": {"file": ("model.pkl", file.getvalue())}}
    # Last, because a name that is none to a file may well be one of a key, and close the service.
    for value in HOSTILE:
        yield "/keys", {"json": {"name": value, "scopes": ["read"]}}


def main(folder: Path) -> None:
    settings = make(folder, artifacts_url=f"file://{folder / 'artifacts'}")
    publish(settings)
    document = create_app(settings).openapi()
    watcher = Watcher()
    is_awake = watcher.prove_awake()
    watcher.is_watching = False
    statuses: dict[int, int] = {}
    with serve(settings) as client:
        watcher.is_watching = True
        port = client.base_url.port or 0
        replies = [ask(port, method, target) for method, target in list_targets(document)]
        for path, body in list_bodies():
            replies.append(httpx.post(client.base_url.join(path), timeout=30, **body).status_code)
        watcher.is_watching = False
    for status in replies:
        statuses[status] = statuses.get(status, 0) + 1
    report = {"is_awake": is_awake, "statuses": statuses}
    found = {"unpickled": watcher.unpickled, "touched": watcher.touched}
    sys.stdout.write(json.dumps(report | found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
