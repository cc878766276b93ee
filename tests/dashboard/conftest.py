"""The dashboard in a real Chromium, on a real API and a real worker."""

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.acceptance.conftest import Json, Stack

# Two busy cores, a browser, an API and a worker: what is waited for comes, but not at once.
WAIT_SECONDS = 30
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
OpenPage = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give browser tests the time that a busy machine needs."""
    for item in items:
        if item.path.parent.name == "dashboard":
            item.add_marker(pytest.mark.timeout(120))


# Playwright keeps an event loop in this thread, in which no other test could run its own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    names = os.environ.get("CHROMIUM", "chromium chromium-browser google-chrome").split()
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.fail("There is no Chromium: run scripts/install_chromium.sh")
    expect.set_options(timeout=WAIT_SECONDS * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An API and a worker for all tests of this folder; none of them spoils it for another."""
    stack = Stack(tmp_path_factory.mktemp("dashboard"))
    # A job that trains without end leaves a core to the service and the browser.
    stack.environment["OMP_NUM_THREADS"] = "1"
    stack.start_api()
    stack.start_worker()
    yield stack
    stack.stop()


@pytest.fixture(scope="session")
def trained(stack: Stack) -> Json:
    """A job that has succeeded: its model is the one that the tests look at."""
    job = stack.submit(model="seen", **QUICK)
    ended = stack.wait_for_status(job["id"], "succeeded", "failed", seconds=90)
    assert ended["status"] == "succeeded", ended["error"]
    return ended


@pytest.fixture(scope="session")
def swept(stack: Stack) -> Json:
    """A sweep that has succeeded, with a model."""
    body = {
        "job": {"dataset": "shapes", "epochs": 1, "batch_size": 64, "model": "swept"},
        "space": {"learning_rate": {"low": 0.01, "high": 0.02}},
        "trials": 1,
    }
    path = stack.client.post("/sweeps", json=body).raise_for_status().headers["Location"]

    def has_ended() -> Json | None:
        sweep = stack.get(path)
        return sweep if sweep["finished_at"] else None

    ended = stack.wait(has_ended, 90)
    assert ended["status"] == "succeeded", ended["error"]
    return ended


# Learns little, but has curves, mistakes and a model within seconds.
QUICK = {"epochs": 2, "batch_size": 32, "learning_rate": 0.02, "report_every_steps": 20}


@pytest.fixture
def open_page(browser: Browser, stack: Stack) -> Iterator[OpenPage]:
    """Return a function that opens a page of the dashboard.

    The test fails when the page logs an error, breaks its content policy, or asks another host.
    """
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_at(
        address: str = "",
        *,
        size: dict[str, int] = DESKTOP,
        scheme: str = "light",
        base_url: str = "",
    ) -> Page:
        origin = base_url or str(stack.client.base_url).rstrip("/")
        context = browser.new_context(
            base_url=origin,
            viewport={"width": size["width"], "height": size["height"]},
            color_scheme="dark" if scheme == "dark" else "light",
            has_touch=size is PHONE,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_SECONDS * 1000)
        watch(page, origin, complaints)
        page.goto(f"/{address}")
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert complaints == []


def watch(page: Page, origin: str, complaints: list[str]) -> None:
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on(
        "console",
        lambda message: (
            complaints.append(f"console: {message.text}")
            # The browser itself logs each 4xx; what the page makes of it is tested.
            if message.type == "error" and "Failed to load resource" not in message.text
            else None
        ),
    )
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((origin, "blob:", "data:"))
            else complaints.append(f"asked {request.url}")
        ),
    )
