"""The dashboard of a service that asks for a key: without a worker, on what one would have left."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from store import keys, packed
from store.keys import Scope
from store.packed import Examples
from tests.dashboard.conftest import WAIT_SECONDS, watch
from tests.service.serving import make_settings, publish, serve
from tests.service.stand_in_worker import StandInWorker


class Closed(NamedTuple):
    url: str
    admin: str
    reader: str


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    settings = make_settings(tmp_path_factory.mktemp("closed"))
    publish(settings, "seen")
    pixels = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    examples = Examples(pixels, np.arange(12) % 2)
    copy = packed.pack(
        settings.packed_folder,
        name="animals",
        description="animals",
        source="a test",
        fingerprint="f00d",
        classes=("cat", "dog"),
        splits={"train": examples, "test": examples},
    )
    worker = StandInWorker(settings)
    worker.describe_dataset(
        "animals",
        description=copy.description,
        classes=copy.classes,
        class_counts=copy.class_counts,
        counts={"train": 12, "test": 12},
        height=copy.height,
        width=copy.width,
        fingerprint=copy.fingerprint,
        problem=None,
    )
    with worker.database.writing() as session:
        _, admin = keys.create(session, "admin", [Scope.ADMIN])
        _, reader = keys.create(session, "reader", [Scope.READ])
    worker.close()
    with serve(settings) as client:
        yield Closed(str(client.base_url).rstrip("/"), admin, reader)


@pytest.fixture
def page(browser: Browser, closed: Closed) -> Iterator[Page]:
    """A tab that has seen no key yet; it may complain of nothing."""
    complaints: list[str] = []
    context = browser.new_context(base_url=closed.url, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(WAIT_SECONDS * 1000)
    watch(page, closed.url, complaints)
    yield page
    context.close()
    assert complaints == []


def give_key(page: Page, key: str) -> None:
    page.get_by_label("API key", exact=True).fill(key)
    page.get_by_role("button", name="Use this key").click()


def test_the_page_asks_for_a_key_and_goes_on_with_it(page: Page, closed: Closed) -> None:
    page.goto("/#/models")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("asks for an API key")
    give_key(page, f"{closed.admin[:-3]}xyz")
    expect(dialog).to_contain_text("not known")
    page.get_by_label("API key", exact=True).fill(closed.admin)
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("link", name="seen")).to_be_visible()
    assert closed.admin not in page.content()
    assert closed.admin not in page.url
    # Another page of the tab does not ask again.
    page.goto("/#/jobs")
    expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
    expect(dialog).to_have_count(0)


def test_pictures_and_downloads_come_with_the_key(
    page: Page, closed: Closed, tmp_path: Path
) -> None:
    page.goto("/#/datasets/animals")
    give_key(page, closed.reader)
    samples = page.locator("img.samples")
    expect(samples).to_be_visible()
    assert samples.evaluate("image => image.naturalWidth") > 32
    page.goto("/#/datasets")
    expect(page.locator(".thumbnails img").first).to_have_js_property("naturalWidth", 32)
    page.goto("/#/models/seen")
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download").first.click()
    downloading.value.save_as(tmp_path / "model.zip")
    assert (tmp_path / "model.zip").read_bytes().startswith(b"PK")
    # What the key may not do is said in a sentence.
    page.get_by_role("button", name="Delete").first.click()
    page.get_by_role("dialog").get_by_role("button", name=re.compile("Delete")).click()
    expect(page.locator(".toast")).to_contain_text("scope admin")


def test_a_forgotten_key_is_gone(page: Page, closed: Closed) -> None:
    page.goto("/#/models")
    give_key(page, closed.reader)
    page.get_by_role("button", name="Forget key").click()
    expect(page.get_by_role("dialog")).to_contain_text("asks for an API key")
    assert page.evaluate("Object.keys(sessionStorage)") == []
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("alert").filter(has_text="API key").first).to_be_visible()


def test_the_documentation_draws_under_its_content_policy(page: Page) -> None:
    page.goto("/docs")
    expect(page.get_by_role("button", name="Authorize")).to_be_visible()
    expect(page.locator(".opblock-summary-path").first).to_be_visible()
