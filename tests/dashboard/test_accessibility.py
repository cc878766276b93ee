"""Everybody can use it: axe-core finds nothing serious, and nothing leaves a narrow screen."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.acceptance.conftest import Json
from tests.dashboard.conftest import DESKTOP, PHONE, OpenPage

PAGES = [
    "#/jobs",
    "#/jobs/new",
    "#/jobs/{job}",
    "#/sweeps",
    "#/sweeps/new",
    "#/sweeps/{sweep}",
    "#/datasets",
    "#/datasets/shapes",
    "#/networks",
    "#/networks/lenet",
    "#/models",
    "#/models/seen",
]
# What only a click shows: the settings that few need, the images of a cell.
HIDDEN = ["details > summary", ".matrix button"]
SERIOUS = {"serious", "critical"}


@pytest.mark.parametrize(
    ("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop-light", "phone-dark"]
)
def test_no_page_has_a_serious_finding(
    open_page: OpenPage, trained: Json, swept: Json, size: dict[str, int], scheme: str
) -> None:
    page = open_page(size=size, scheme=scheme)
    findings = []
    for address in PAGES:
        page.goto("/" + address.format(job=trained["id"], sweep=swept["id"]))
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.wait_for_load_state("networkidle")
        open_what_is_hidden(page)
        for violation in Axe().run(page).response["violations"]:
            if violation["impact"] in SERIOUS:
                places = [node["html"][:200] for node in violation["nodes"][:3]]
                findings.append((address, violation["id"], places))
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= size["width"], f"{address} is {width} pixels wide"
    assert findings == []


def open_what_is_hidden(page: Page) -> None:
    for selector in HIDDEN:
        for place in page.locator(selector).all()[:4]:
            if not page.get_by_role("dialog").count():
                place.click()
