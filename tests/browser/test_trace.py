"""The page of `minka trace` in a real Chromium: one file, replayed step by step."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from backend.trace.causality import Event, merge
from backend.trace.page import document, newest, write_page
from tests.browser.chromium import ARGUMENTS, CHROMIUM

pytestmark = pytest.mark.browser
VOTE = {"term": 2, "last_index": 6, "last_term": 1, "pre": False, "transfer": False}
GRANT = {"term": 2, "granted": True, "pre": False}
APPEND = {"term": 2, "previous_index": 6, "previous_term": 1, "commit": 0, "entries": 1}
HELD = {"term": 2, "index": 7, "rejected": False, "hint_index": 0, "hint_term": 0}
BEAT = {"term": 2, "commit": 7, "round": 1}


def election() -> dict[str, list[Event]]:
    """w1 is elected by <b>w2</b>, replicates an entry, and speaks to w3, which nobody could ask."""
    ours = [
        ("role", None, "candidate", {"term": 2}),
        ("sent", "<b>w2</b>", "vote", VOTE),
        ("sent", "w3", "vote", VOTE),
        ("heard", "<b>w2</b>", "vote_reply", GRANT),
        ("role", "w1", "leader", {"term": 2}),
        ("sent", "<b>w2</b>", "append", APPEND),
        ("heard", "<b>w2</b>", "append_reply", HELD),
        ("applied", None, "", {"index": 7}),
        ("sent", "<b>w2</b>", "heartbeat", BEAT),
    ]
    theirs = [
        ("heard", "w1", "vote", VOTE),
        ("sent", "w1", "vote_reply", GRANT),
        ("heard", "w1", "append", APPEND),
        ("role", "w1", "follower", {"term": 2}),
        ("sent", "w1", "append_reply", HELD),
    ]
    return {
        id: [Event(id, n + 1, begin + n / 100, *row) for n, row in enumerate(rows)]
        for id, begin, rows in (("w1", 100.0, ours), ("<b>w2</b>", 5000.0, theirs))
    }


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """The timeline, opened from the disk; nothing that it does may break its own policy."""
    steps, clocks = merge(election())
    write_page(tmp_path / "trace.html", document(newest(steps, 300.0), clocks))
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 900}, locale="en-US")
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text))
        page.on(
            "request", lambda asked: complaints.append(asked.url) if asked.url.startswith("http") else None
        )
        page.goto((tmp_path / "trace.html").as_uri())
        yield page
        browser.close()
    assert complaints == []


def test_it_is_dark_where_the_system_is(page: Page) -> None:
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(ground) != light


def test_an_election_is_replayed_step_by_step(page: Page) -> None:
    lane = page.locator("#lanes li").filter(has_text="w1")
    said = page.locator("#said")
    expect(said).to_contain_text("w1 is Candidate in term 2")
    expect(lane).to_contain_text("Candidate")
    page.keyboard.press("ArrowRight")
    expect(said).to_contain_text("w1 → <b>w2</b>: asks for a vote in term 2; its log ends at 6 (term 1)")
    expect(page.locator("#diagram g.message:not(.future) line[marker-end]")).to_have_count(1)
    page.keyboard.press("n")
    expect(said).to_contain_text("w1 is Leader in term 2; leader: w1")
    expect(lane).to_contain_text("Leader")
    page.keyboard.press("End")
    expect(said).to_contain_text("w1 has applied all up to 7")
    expect(lane).to_contain_text("applied 7")
    page.keyboard.press("Home")
    page.get_by_role("button", name="Play").click()
    expect(said).to_contain_text("w1 has applied all up to 7")
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_what_is_shown_is_chosen(page: Page) -> None:
    before = page.locator("#diagram g.event").count()
    page.get_by_label("heartbeats").check()
    expect(page.locator("#diagram g.event")).to_have_count(before + 1)
    page.get_by_label("elections").uncheck()
    expect(page.locator("#diagram g.event")).to_have_count(before + 1 - 8)


def test_moments_are_a_list_to_go_to(page: Page) -> None:
    moments = page.locator("#moments button")
    expect(moments).to_have_count(3)
    moments.filter(has_text="is Leader").first.click()
    expect(page.locator("#said")).to_contain_text("w1 is Leader")
    expect(page.locator("#moments button[aria-current]")).to_have_count(1)


def test_names_are_text_and_clocks_are_told(page: Page) -> None:
    assert page.locator("main b").count() == 0
    expect(page.locator("#clocks")).to_contain_text("w3 did not answer")
    expect(page.locator("#clocks")).to_contain_text("±")


def test_it_fits_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
