"""Each page for itself: what it shows, what can be done on it, and what it says when it cannot."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from store import jobs
from store.database import Database
from store.specs import JobRequest
from tests.acceptance.conftest import Json, Stack
from tests.dashboard.conftest import OpenPage

MANY_JOBS = 5_000


@pytest.mark.usefixtures("trained")  # so that the size of the data set is known
def test_what_is_wrong_with_a_field_is_said_beside_it(open_page: OpenPage) -> None:
    page = open_page("#/jobs/new?dataset=shapes")
    page.get_by_label("Epochs", exact=True).fill("0")
    page.get_by_label("Learning rate", exact=True).fill("fast")
    page.get_by_label("Model", exact=True).fill("No Such Name")
    page.get_by_role("button", name="Start training").click()
    for field, words in {
        "epochs": "greater than or equal to 1",
        "learning_rate": "valid number",
        "model": "pattern",
    }.items():
        expect(page.locator(f"#field-{field}-problem")).to_contain_text(words)
        expect(page.locator(f"#field-{field}")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#field-epochs")).to_be_focused()
    expect(page.locator("#field-batch_size-problem")).to_be_empty()

    # What needs the data set to be known comes without a list of fields, and still finds its place.
    for name in ("Epochs", "Learning rate", "Model"):
        page.get_by_label(name, exact=True).fill("")
    page.get_by_label("Batch size", exact=True).fill("60000")
    page.get_by_role("button", name="Start training").click()
    expect(page.locator("#field-batch_size-problem")).to_contain_text("5000 training images")
    expect(page.locator("#field-epochs-problem")).to_be_empty()


def test_a_job_can_be_paused_resumed_cancelled_and_deleted(
    open_page: OpenPage, stack: Stack
) -> None:
    job = stack.submit(epochs=5000, batch_size=4, report_every_steps=50)
    page = open_page(f"#/jobs/{job['id']}")
    status = page.locator(".page-title .badge")
    expect(status).to_have_text("running")
    page.get_by_role("button", name="Pause").click()
    expect(status).to_have_text("paused")
    page.get_by_role("button", name="Resume").click()
    expect(status).to_have_text(re.compile("queued|running"))
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the job").click()
    expect(status).to_have_text("cancelled")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete the job").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
    assert stack.client.get(f"/jobs/{job['id']}").status_code == 404


def test_the_curves_of_another_job_are_drawn_beside(
    open_page: OpenPage, stack: Stack, trained: Json
) -> None:
    other = stack.submit(model="other", epochs=5000, report_every_steps=50)
    try:
        stack.wait_for_step(other["id"])
    finally:
        stack.client.post(f"/jobs/{other['id']}/cancel").raise_for_status()
    page = open_page(f"#/jobs/{trained['id']}")
    page.get_by_label("Compare with").select_option(str(other["id"]))
    expect(page.get_by_role("button", name=f"#{other['id']} Running")).to_be_visible()
    loss = page.get_by_role("group", name=re.compile(f"^Loss.*#{other['id']} Running"))
    expect(loss).to_be_visible()


def test_a_stretch_of_the_curves_can_be_looked_at(open_page: OpenPage, trained: Json) -> None:
    page = open_page(f"#/jobs/{trained['id']}")
    page.get_by_label("Log axis for the loss").check()
    page.get_by_label("Along").select_option("step")
    page.get_by_role("button", name="Zoom in").click()
    # Half of the steps from 20 (the first report) to 314 (the last epoch), about their middle.
    expect(page.get_by_text("Step 94 to 241")).to_be_visible()
    page.get_by_role("button", name="Move right").click()
    expect(page.get_by_text("Step 130 to 277")).to_be_visible()
    page.get_by_role("group", name=re.compile("^Loss. Latest")).press("0")
    expect(page.get_by_text(re.compile("^Step .* to"))).to_have_count(0)
    drag_across(page)
    expect(page.get_by_text(re.compile("^Step .* to"))).to_be_visible()


def drag_across(page: Page) -> None:
    box = page.locator(".chart-canvas .u-over").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] + 60, steps=4)
    page.mouse.up()


def test_the_classes_can_be_sorted(open_page: OpenPage, trained: Json) -> None:
    page = open_page(f"#/jobs/{trained['id']}")
    table = page.get_by_role("region", name="Classes").get_by_role("table")
    head = table.get_by_role("columnheader", name="Class")
    for order in ("ascending", "descending"):
        head.get_by_role("button").click()
        expect(head).to_have_attribute("aria-sort", order)
        names = table.get_by_role("rowheader").all_inner_texts()
        assert names == sorted(names, reverse=order == "descending")
    assert len(names) == 10


def test_arrows_move_in_the_confusion_matrix(open_page: OpenPage, trained: Json) -> None:
    page = open_page(f"#/jobs/{trained['id']}")
    cells = page.locator(".matrix button")
    cells.first.focus()
    page.keyboard.press("ArrowRight")
    expect(cells.first).not_to_be_focused()
    expect(page.locator(".matrix button:focus")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()


def test_an_alias_is_set_and_removed(open_page: OpenPage, stack: Stack, trained: Json) -> None:
    name = trained["model"]["name"]
    page = open_page(f"#/models/{name}")
    page.get_by_role("button", name="Set alias").first.click()
    page.get_by_label("Name").fill("Not A Name")
    page.get_by_role("button", name="Set alias", exact=True).click()
    expect(page.locator("#alias-problem")).not_to_be_empty()
    page.get_by_label("Name").fill("staging")
    page.get_by_role("button", name="Set alias", exact=True).click()
    expect(page.get_by_role("button", name="Remove the alias staging")).to_be_visible()
    assert stack.get(f"/models/{name}")["aliases"] == {"staging": 1}
    page.get_by_role("button", name="Remove the alias staging").click()
    expect(page.get_by_role("button", name="Remove the alias staging")).to_have_count(0)
    assert stack.get(f"/models/{name}")["aliases"] == {}


def test_charts_are_saved_for_slides(open_page: OpenPage, trained: Json) -> None:
    page = open_page(f"#/jobs/{trained['id']}")
    for name, file_name in {
        "Curves as SVG": f"jobs-{trained['id']}-curves.svg",
        "Confusion matrix as PNG": f"jobs-{trained['id']}-confusion-matrix.png",
    }.items():
        with page.expect_download() as download:
            page.get_by_role("link", name=name).click()
        assert download.value.suggested_filename == file_name


@pytest.mark.usefixtures("trained")
def test_the_models_tell_how_much_is_stored(open_page: OpenPage) -> None:
    page = open_page("#/models")
    storage = page.get_by_role("region", name="Storage")
    expect(storage).to_contain_text(re.compile(r"Models\s*[1-9][\d.]* [kM]B"))
    expect(storage).to_contain_text("Free on its disk")


def test_a_model_can_be_downloaded(open_page: OpenPage, trained: Json) -> None:
    page = open_page(f"#/models/{trained['model']['name']}")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == f"{trained['model']['name']}-1.zip"


@pytest.mark.usefixtures("trained")
def test_data_sets_and_networks_show_their_pictures(open_page: OpenPage) -> None:
    page = open_page("#/datasets/shapes")
    samples = page.get_by_alt_text(re.compile("random training images"))
    expect(samples).to_be_visible()
    first = samples.get_attribute("src")
    page.get_by_role("button", name="Other pictures").click()
    expect(samples).not_to_have_attribute("src", first or "")
    page.get_by_role("link", name="Networks").click()
    page.get_by_role("link", name="lenet").click()
    expect(
        page.get_by_role("img", name=re.compile("^Network: input 3 by 32 by 32"))
    ).to_be_visible()
    graph = page.get_by_alt_text("Autograd graph of the loss of lenet")
    graph.scroll_into_view_if_needed()
    expect(graph).not_to_have_js_property("naturalWidth", 0)


def test_an_empty_service_says_what_to_do(open_page: OpenPage, tmp_path: Path) -> None:
    empty = Stack(tmp_path)
    try:
        empty.start_api()
        page = open_page(base_url=str(empty.client.base_url).rstrip("/"))
        expect(page.get_by_role("link", name="Train on shapes")).to_be_visible()
        expect(page.get_by_text("no worker")).to_be_visible()
        for section in ("Data sets", "Networks"):
            page.get_by_role("link", name=section).click()
            expect(page.locator(".empty")).to_contain_text("python -m worker")
        page.get_by_role("link", name="Models").click()
        expect(page.locator(".empty")).to_contain_text("Train on shapes")

        submit_many(empty)
        page.get_by_role("link", name="Jobs").click()
        expect(page.locator(".message")).to_contain_text("No worker is alive")
        expect(page.locator(".job-row")).to_have_count(25)
        page.get_by_role("link", name="Older").click()
        expect(page.locator(".job-row").first).to_contain_text(f"#{MANY_JOBS - 25}")
        page.get_by_label("Go to the job with this number").fill("3")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Job 3")

        for process in empty.processes:
            process.terminate()
        expect(page.get_by_text("The service does not answer.")).to_be_visible()
    finally:
        empty.stop()


def submit_many(stack: Stack) -> None:
    database = Database(f"sqlite:///{stack.folder / 'tenfold.db'}")
    with database.writing() as session:
        for _ in range(MANY_JOBS):
            jobs.submit(session, JobRequest(dataset="shapes"))
    database.dispose()


def test_an_unknown_job_is_told(open_page: OpenPage) -> None:
    page = open_page("#/jobs/999999")
    expect(page.get_by_role("alert").filter(has_text="no such job")).to_be_visible()
    page.goto("/#/nowhere")
    expect(page.get_by_role("heading", name="There is no such page")).to_be_visible()
