"""Sweeps on the dashboard: begun with a form, watched while they run, cancelled and deleted."""

import re

from playwright.sync_api import expect

from tests.acceptance.conftest import Stack
from tests.dashboard.conftest import OpenPage


def test_a_sweep_is_started_watched_and_deleted(open_page: OpenPage, stack: Stack) -> None:
    page = open_page("#/sweeps/new")
    page.get_by_label("Data set").select_option("shapes")
    page.get_by_label("Epochs", exact=True).fill("1")
    page.get_by_label("Model", exact=True).fill("chosen")
    page.get_by_label("From").fill("0.001")
    page.get_by_label("To", exact=True).fill("0.1")
    page.get_by_role("button", name="Add a field").click()
    second = page.locator(".dimension").nth(1)
    second.get_by_label("Field").select_option("batch_size")
    second.get_by_label("Values", exact=True).select_option("choices")
    second.get_by_label("Values, with commas between").fill("32, 64")
    page.get_by_label("Trials", exact=True).fill("2")
    page.get_by_role("button", name="Start the sweep").click()

    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(r"Sweep \d+: chosen"))
    expect(page.locator(".page-title .badge")).to_have_text("succeeded", timeout=90_000)
    sweep = stack.get("/sweeps")["items"][0]
    request = sweep["request"]
    assert request["space"] == {
        "learning_rate": {"low": 0.001, "high": 0.1, "log": True},
        "batch_size": {"choices": [32, 64]},
    }
    common = {"recipe": "tutorial", "dataset": "shapes", "epochs": 1, "model": "chosen"}
    assert request["job"] == common
    rows = page.get_by_role("region", name="Trials").get_by_role("row")
    expect(rows).to_have_count(1 + 2)
    best = sweep["best"]
    expect(rows.nth(1)).to_contain_text(f"{best['validation_accuracy']:.2%}".replace("%", " %"))
    expect(rows.nth(1)).to_contain_text(str(best["params"]["batch_size"]))
    page.get_by_role("link", name="Use the best model").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("chosen")

    page.goto("/#/sweeps")
    row = page.get_by_role("row").filter(has_text=f"Sweep {sweep['id']}")
    expect(row).to_contain_text("2 of 2")
    row.get_by_role("link").click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete the sweep").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sweeps")
    expect(row).to_have_count(0)
    assert stack.client.get(f"/sweeps/{sweep['id']}").status_code == 404


def test_a_running_sweep_is_cancelled(open_page: OpenPage, stack: Stack) -> None:
    body = {
        "job": {"dataset": "shapes", "epochs": 5000},
        "space": {"learning_rate": {"low": 0.001, "high": 0.1}},
        "trials": 3,
    }
    sweep = stack.client.post("/sweeps", json=body).raise_for_status().json()
    page = open_page(f"#/sweeps/{sweep['id']}")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the sweep").click()
    expect(page.locator(".page-title .badge")).to_have_text("cancelled")
    stack.client.delete(f"/sweeps/{sweep['id']}").raise_for_status()


def test_what_is_wrong_with_a_sweep_is_said_beside_it(open_page: OpenPage) -> None:
    page = open_page("#/sweeps/new")
    page.get_by_label("Epochs", exact=True).fill("0")
    page.get_by_label("From").fill("0.1")
    page.get_by_label("To", exact=True).fill("fast")
    page.get_by_role("button", name="Start the sweep").click()
    expect(page.locator("#field-epochs-problem")).to_contain_text("greater than or equal to 1")
    expect(page.locator("#field-trials-problem")).to_contain_text("required")
    expect(page.locator(".dimension .problem")).to_contain_text("number")

    # What is wrong between the fields comes once each of them is right.
    page.get_by_label("Epochs", exact=True).fill("1")
    page.get_by_label("Trials", exact=True).fill("3")
    page.get_by_label("To", exact=True).fill("0.01")
    page.get_by_role("button", name="Start the sweep").click()
    expect(page.locator(".dimension .problem")).to_contain_text("below low")


def test_a_sweep_has_at_least_one_field_to_differ_in(open_page: OpenPage) -> None:
    page = open_page("#/sweeps/new")
    remove = page.get_by_role("button", name="Remove")
    expect(page.locator(".dimension")).to_have_count(1)
    expect(remove).to_have_count(0)
    page.get_by_role("button", name="Add a field").click()
    expect(remove).to_have_count(2)
    remove.first.click()
    expect(page.locator(".dimension")).to_have_count(1)
    expect(remove).to_have_count(0)
