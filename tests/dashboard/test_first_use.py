"""What somebody does on the first day: train, watch, look into the mistakes, try a picture."""

import base64
import re

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.conftest import Json, Stack
from tests.dashboard.conftest import DESKTOP, PHONE, OpenPage

# Hands a file to whatever is listening, as the desktop does when one is dropped or pasted.
GIVE_FILE = """([kind, name, type, encoded]) => {
  const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type }));
  const options = { bubbles: true, cancelable: true };
  document.querySelector(".drop-zone").dispatchEvent(kind === "paste"
    ? new ClipboardEvent("paste", { ...options, clipboardData: transfer })
    : new DragEvent("drop", { ...options, dataTransfer: transfer }));
}"""


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_job_is_started_watched_and_looked_into(
    open_page: OpenPage, stack: Stack, size: dict[str, int]
) -> None:
    page = open_page(size=size)
    start_job(page)
    expect(page.locator(".page-title .badge")).to_have_text("succeeded", timeout=90_000)
    expect(page.get_by_role("group", name=re.compile("^Loss. Latest: Running"))).to_be_visible()
    expect(page.locator(".event-list li").last).to_contain_text("queued")

    job_id = int(page.url.rpartition("/")[2])
    look_into_a_mistake(page, stack, job_id)
    page.get_by_role("link", name="Use the model").click()
    drop_a_picture(page, stack)


def start_job(page: Page) -> None:
    page.get_by_role("link", name="New job").click()
    page.get_by_label("Data set", exact=True).select_option("shapes")
    page.get_by_label("Epochs", exact=True).fill("1")
    page.get_by_label("Batch size", exact=True).fill("32")
    page.get_by_label("Learning rate", exact=True).fill("0.02")
    page.get_by_text("More settings").click()
    page.get_by_label("Report every steps").fill("20")
    expect(page.get_by_text("157 steps: 1 epoch of 5,000 images")).to_be_visible()
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("shapes-tutorial")


def look_into_a_mistake(page: Page, stack: Stack, job_id: int) -> None:
    mistake = stack.get(f"/jobs/{job_id}/report")["most_confident_mistakes"][0]
    label, predicted = mistake["label"], mistake["predicted"]
    wrong = stack.get(f"/jobs/{job_id}/predictions", label=label, predicted=predicted)
    page.get_by_role("button", name=f"{label} taken for {predicted}: ").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"{wrong['total']} test image")
    pictures = dialog.get_by_role("img")
    expect(pictures).to_have_count(min(60, wrong["total"]))
    expect(pictures.first).to_have_js_property("naturalWidth", 32)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def drop_a_picture(page: Page, stack: Stack) -> None:
    picture = stack.client.get("/datasets/shapes/images/test/3").content
    expect(page.get_by_role("heading", name="Classify a picture")).to_be_visible()
    give_file(page, "drop", "shape.png", "image/png", picture)
    guess = page.get_by_role("article", name="shape.png")
    expect(guess.get_by_role("progressbar")).to_have_count(5)
    reply = stack.client.post("/predict", params={"model": "shapes-tutorial"}, content=picture)
    (prediction,) = reply.json()["predictions"]
    expect(guess.get_by_role("heading")).to_have_text(prediction["class"])
    expect(guess).to_contain_text(f"{prediction['probability'] * 100:.1f} %")


def give_file(page: Page, kind: str, name: str, media_type: str, content: bytes) -> None:
    page.evaluate(GIVE_FILE, [kind, name, media_type, base64.b64encode(content).decode()])


def test_a_pasted_file_that_is_no_picture_is_refused_in_words(
    open_page: OpenPage, trained: Json
) -> None:
    page = open_page(f"#/models/{trained['model']['name']}")
    expect(page.get_by_role("heading", name="Classify a picture")).to_be_visible()
    give_file(page, "paste", "notes.txt", "text/plain", b"no picture")
    expect(page.get_by_role("article", name="notes.txt").get_by_role("alert")).to_contain_text(
        "image"
    )


def test_a_picture_from_the_camera_is_classified(open_page: OpenPage, trained: Json) -> None:
    page = open_page(f"#/models/{trained['model']['name']}")
    page.get_by_role("button", name="Use the camera").click()
    video = page.get_by_label("What the camera sees")
    expect(video).to_have_js_property("readyState", 4)
    page.get_by_role("button", name="Take the picture").click()
    expect(page.get_by_role("article", name="camera").get_by_role("progressbar")).to_have_count(5)


def test_a_heat_map_shows_what_spoke_for_a_class(
    open_page: OpenPage, stack: Stack, trained: Json
) -> None:
    pytest.importorskip("xaitk_saliency", reason="needs the extra `explain`")
    picture = stack.client.get("/datasets/shapes/images/test/3").content
    page = open_page(f"#/models/{trained['model']['name']}")
    expect(page.get_by_role("heading", name="Classify a picture")).to_be_visible()
    give_file(page, "drop", "shape.png", "image/png", picture)
    guess = page.get_by_role("article", name="shape.png")
    guess.get_by_text("What spoke for it?").click()
    first = guess.get_by_role("heading").inner_text()
    shown = guess.get_by_role("img", name=f"red spoke for {first}")
    expect(shown).to_have_js_property("naturalWidth", 256)
    guess.get_by_label("For and against").select_option(index=1)
    expect(shown).to_have_count(0)
    expect(guess.get_by_role("img", name="red spoke for")).to_have_js_property("naturalWidth", 256)
