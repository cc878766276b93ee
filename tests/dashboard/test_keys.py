"""The dashboard of a service that asks for a key."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import expect

from store import keys
from store.database import Database
from store.keys import Scope
from tests.acceptance.conftest import Json, Stack
from tests.dashboard.conftest import OpenPage


class Closed(NamedTuple):
    url: str
    admin: str
    reader: str


@pytest.fixture(scope="module")
def closed(
    stack: Stack, trained: Json, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Closed]:
    """A copy of the service with the trained model, but with keys; nobody trains there."""
    assert trained["model"]["name"] == "seen"
    copy = Stack(tmp_path_factory.mktemp("closed-dashboard"))
    shutil.copytree(stack.folder / "packed", copy.folder / "packed")
    original = Database(f"sqlite:///{stack.folder / 'tenfold.db'}")
    original.copy_to(copy.folder / "tenfold.db")
    original.dispose()
    database = Database(f"sqlite:///{copy.folder / 'tenfold.db'}")
    with database.writing() as session:
        _, admin = keys.create(session, "admin", [Scope.ADMIN])
        _, reader = keys.create(session, "reader", [Scope.READ])
    database.dispose()
    copy.start_api()
    yield Closed(str(copy.client.base_url).rstrip("/"), admin, reader)
    copy.stop()


def test_the_page_asks_for_a_key_and_goes_on_with_it(open_page: OpenPage, closed: Closed) -> None:
    page = open_page("#/jobs", base_url=closed.url)
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("asks for an API key")
    page.get_by_label("API key").fill(f"{closed.admin[:-3]}xyz")
    page.get_by_role("button", name="Use this key").click()
    expect(dialog).to_contain_text("not known")
    page.get_by_label("API key").fill(closed.admin)
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("link", name=re.compile("seen")).first).to_be_visible()
    assert closed.admin not in page.content()
    assert closed.admin not in page.url


def test_pictures_and_downloads_come_with_the_key(
    open_page: OpenPage, closed: Closed, tmp_path: Path
) -> None:
    page = open_page("#/datasets/shapes", base_url=closed.url)
    page.get_by_label("API key").fill(closed.reader)
    page.get_by_role("button", name="Use this key").click()
    samples = page.locator("img.samples")
    expect(samples).to_be_visible()
    assert samples.evaluate("image => image.naturalWidth") > 32
    page.goto(f"{closed.url}/#/datasets")
    expect(page.locator(".thumbnails img").first).to_have_js_property("naturalWidth", 32)
    page.goto(f"{closed.url}/#/models/seen")
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download").first.click()
    path = tmp_path / "model.zip"
    downloading.value.save_as(path)
    assert path.read_bytes().startswith(b"PK")
    # What the key may not do is said in a sentence.
    page.get_by_role("button", name="Delete").first.click()
    page.get_by_role("dialog").get_by_role("button", name=re.compile("Delete")).click()
    expect(page.locator(".toast")).to_contain_text("scope admin")


def test_a_forgotten_key_is_gone(open_page: OpenPage, closed: Closed) -> None:
    page = open_page("#/models", base_url=closed.url)
    page.get_by_label("API key").fill(closed.reader)
    page.get_by_role("button", name="Use this key").click()
    page.get_by_role("button", name="Forget key").click()
    expect(page.get_by_role("dialog")).to_contain_text("asks for an API key")
    assert page.evaluate("Object.keys(sessionStorage)") == []
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("alert").first).to_contain_text("Bearer")


def test_an_open_service_asks_for_no_key(open_page: OpenPage) -> None:
    page = open_page("#/jobs")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_role("button", name="Forget key")).to_be_hidden()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_the_documentation_draws_under_its_content_policy(open_page: OpenPage) -> None:
    page = open_page("docs")
    expect(page.get_by_role("button", name="Authorize")).to_be_visible()
    expect(page.get_by_text("/predict", exact=True).first).to_be_visible()
