"""What axe-core can tell of the monitor's pages and of a trace, in both looks."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from backend.trace.causality import merge
from backend.trace.page import document, write_page
from tests.browser.fake_node import FakeNode, Story
from tests.browser.test_accessibility import complaints
from tests.browser.test_monitor_training import VITALS
from tests.browser.test_trace import election

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("scheme", ["light", "dark"])]


def context_of(browser: Browser, scheme: str) -> BrowserContext:
    # Axe changes styles for a moment, which the pages themselves may not.
    return browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": 1280, "height": 1400},
        locale="en-US",
        bypass_csp=True,
    )


def test_the_monitor_breaks_no_rule(browser: Browser, node: FakeNode, story: Story, scheme: str) -> None:
    model = next(id for id, row in story.models.items() if row["status"] == "training")
    node.tell(
        "rounds", model=model, rounds=[{"round": n, "loss": 1 / n, "test_accuracy": 0.9} for n in (1, 2, 3)]
    )
    job = {"model": model, "round": 3, "rounds": 9, "of": 3, "work": {"w1": 5}, "open": 2}
    node.tell("vitals", vitals={**VITALS, "jobs": [{**job, "shards": [[1, {"w2": 0.3}], [2, {}]]}]})
    node.tell(
        "notices",
        notices=[
            {
                "notice": number,
                "time": 1.7e9,
                "kind": kind,
                "text": "something",
                "peer": "w3",
                "reached": False,
            }
            for number, kind in enumerate(("damage", "repair", "space", "link"), 1)
        ],
    )
    context = context_of(browser, scheme)
    page = context.new_page()
    page.goto(node.address)
    expect(page.locator("#event-rows tr")).to_have_count(4)
    expect(page.locator("#job-chart path.loss")).to_be_visible()
    assert complaints(page) == []
    page.goto(f"{node.address}/plain")
    expect(page.locator("table")).to_have_count(5)
    assert complaints(page) == []
    context.close()


def test_a_trace_breaks_no_rule(browser: Browser, tmp_path: Path, scheme: str) -> None:
    steps, clocks = merge(election())
    write_page(tmp_path / "trace.html", document(steps, clocks))
    context = context_of(browser, scheme)
    page = context.new_page()
    page.goto((tmp_path / "trace.html").as_uri())
    expect(page.locator("#moments button")).to_have_count(3)
    assert complaints(page) == []
    context.close()
