"""The monitor's page in a real Chromium, on the real monitor process, fed by a node that the test plays."""

import os
import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser.fake_node import FakeNode, Story

pytestmark = pytest.mark.browser

CHROMIUM = os.environ.get("MINKA_CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESK = (1280, 900)
PHONE = (390, 844)

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def node() -> Iterator[FakeNode]:
    with FakeNode() as started:
        yield started


@pytest.fixture
def story(node: FakeNode) -> Story:
    begun = Story(node)
    begun.begin()
    return begun


@pytest.fixture
def open_page(browser: Browser, node: FakeNode) -> Iterator[Open]:
    """Opens the monitor; at the end no page may have had an error, nor broken its own security policy."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_one(size: tuple[int, int] = DESK, language: str = "en-US") -> Page:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, locale=language)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.goto(node.address)
        expect(page.locator("#connection")).to_have_text(re.compile("Live|En vivo"))
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert [complaint for complaint in complaints if "ERR_" not in complaint] == []


def test_the_page_shows_what_this_worker_holds(story: Story, open_page: Open) -> None:
    page = open_page()
    expect(page).to_have_title("w1 · Minka")
    expect(page.locator("#role")).to_contain_text("Follower")
    expect(page.locator("#role")).to_contain_text("w2 leads")
    expect(page.locator("#cluster-rows tr")).to_have_count(3)
    expect(page.locator("#verdict")).to_have_text("All 3 workers hold the same state")
    expect(page.locator("#matrix-rows tr")).to_have_count(story.files + len(story.models))
    expect(page.locator("#model-rows progress")).to_have_count(2)
    expect(page.locator("#record-rows tr")).to_have_count(story.record)
    expect(page.locator("#log-rows tr")).to_have_count(story.index)


def test_names_are_shown_as_text_whatever_they_hold(story: Story, open_page: Open) -> None:
    story.put('"><img src=x onerror=alert(1)>.png', 10)
    page = open_page()
    expect(page.locator("#matrix-rows")).to_contain_text("notas <b>de</b> campo & medidas.csv")
    expect(page.locator("#matrix-rows")).to_contain_text('"><img src=x onerror=alert(1)>.png')
    assert page.locator("main img, main b").count() == 0


def test_what_happens_appears_while_one_watches(story: Story, open_page: Open) -> None:
    page = open_page()
    file = story.put("nueva.png", 4321)
    story.train("digits, convolution", "cnn", "done", 1.0, 0.991)
    story.status()
    first = page.locator("#record-rows tr").first
    expect(first).to_contain_text("digits, convolution")
    expect(page.locator("#matrix-rows")).to_contain_text("nueva.png")
    expect(page.locator("#log-rows tr").first).to_contain_text("applied")
    expect(page.locator("#model-rows")).to_contain_text("99.1%")
    story.remove(file)
    expect(page.locator("#matrix-rows")).not_to_contain_text("nueva.png")


def test_an_election_is_seen(story: Story, open_page: Open) -> None:
    page = open_page()
    story.leader, story.term = "w1", 5
    story.offline.add("w2")
    story.status()
    expect(page.locator("#role")).to_contain_text("This worker leads the cluster")
    expect(page.locator(".hero")).to_have_attribute("data-role", "leader")
    expect(page.locator("#cluster-rows tr").nth(1)).to_contain_text("Out of reach")
    expect(page.locator("#ring")).to_have_attribute("aria-label", "2 of 3 workers in reach; leader: w1")


def test_a_worker_with_another_state_is_loud(story: Story, open_page: Open) -> None:
    page = open_page()
    story.different.add("w3")
    story.entry("noop", "")
    story.status()
    expect(page.locator("#verdict .badge")).to_have_attribute("data-tone", "bad")
    expect(page.locator("#verdict")).to_have_text("w3: different state")
    rows = story.files + len(story.models)
    expect(page.locator('#matrix-rows td[data-tone="bad"]')).to_have_count(rows)
    expect(page.locator('#matrix-rows td[data-tone="good"]')).to_have_count(rows)


def test_a_row_counts_as_equal_only_once_the_states_were_compared_with_it(
    story: Story, open_page: Open
) -> None:
    page = open_page()
    waiting = page.locator("#matrix-rows tr", has_text="nueva.png").locator("td[data-tone=warn]")
    story.put("nueva.png", 5)
    expect(waiting).to_have_count(2)
    story.status()
    expect(waiting).to_have_count(0)


def test_a_flood_of_files_is_read_again_and_stays_bounded(story: Story, open_page: Open) -> None:
    page = open_page()
    for number in range(600):
        story.put(f"flood-{number}.png", number)
    story.status()
    expect(page.locator("#matrix-rows tr").nth(len(story.models))).to_contain_text("flood-599.png")
    expect(page.locator("#matrix-rows tr")).to_have_count(200)
    expect(page.locator("#matrix-more")).to_have_text(f"Showing 200 of {story.files + len(story.models)}.")


def test_searching_narrows_the_lists(story: Story, open_page: Open) -> None:
    page = open_page()
    page.get_by_label("Search files and models").fill("hoja-01 .png")
    expect(page.locator("#matrix-rows tr")).to_have_count(2)
    page.get_by_label("Search records").fill("(leaves OR)")
    expect(page.locator("#record-rows tr")).to_have_count(0)
    page.get_by_label("Search records").fill("leaves")
    expect(page.locator("#record-rows tr")).to_have_count(1)


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_it_fits_its_window_in_spanish(story: Story, open_page: Open, size: tuple[int, int]) -> None:
    page = open_page(size, "es-AR")
    expect(page.locator("#role")).to_contain_text("Seguidor")
    expect(page.locator("html")).to_have_attribute("lang", "es")
    assert page.evaluate("document.documentElement.scrollWidth") == size[0]
    assert page.locator("[data-t]:visible").evaluate_all("all => all.filter((one) => !one.textContent)") == []


def test_the_keyboard_reaches_the_content_and_the_lists(story: Story, open_page: Open) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    expect(page.locator(".skip-link")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#cluster .scroll")).to_be_focused()


def test_a_worker_that_ends_is_said_so_and_comes_back(node: FakeNode, story: Story, open_page: Open) -> None:
    page = open_page()
    port = int(node.address.rsplit(":", 1)[1])
    node.close()
    expect(page.locator("#connection")).to_have_text("Worker out of reach; trying again")
    with FakeNode(port) as again:
        Story(again, seed=8).begin()
        expect(page.locator("#connection")).to_have_text("Live", timeout=15_000)
        expect(page.locator("#matrix-rows tr").first).to_be_visible()
