"""What axe-core can tell of every page, in both looks, and what it cannot: all of it is done with the keyboard alone."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.fake_cluster import FakeCluster, furnish
from tests.browser.hands import PAGES, draw_seven, visit

pytestmark = pytest.mark.browser


# Axe changes styles for a moment, which the page itself may not: it runs without the policy (`bypass_csp`).


def complaints(page: Page) -> list[str]:
    found = Axe().run(page)
    return [
        f"{violation['id']}: {node['target']} {node['html'][:120]}"
        for violation in found.response["violations"]
        for node in violation["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_breaks_a_rule_of_axe(cluster: FakeCluster, open_page: Open, scheme: str) -> None:
    furnish(cluster)
    page = open_page(scheme=scheme, size=(1180, 1400), bypass_csp=True)
    expect(page.locator("#rows tr")).to_have_count(7)
    found = {}
    for name in (*PAGES, "datasets/digits", "models/" + next(iter(cluster.models))):
        visit(page, name)
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        if name == "try":
            expect(page.locator("#model")).not_to_have_value("")
            draw_seven(page)
            expect(page.locator("#verdict .big")).to_be_visible()
        if name == "datasets/digits":
            expect(page.locator("#thumbs img").first).to_be_visible()
        if broken := complaints(page):
            found[name] = broken
    assert found == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nor_do_the_pages_of_a_cluster_that_is_away(
    absent: FakeCluster, open_page: Open, scheme: str
) -> None:
    page = open_page(scheme=scheme, bypass_csp=True)
    expect(page.locator("#notice")).to_be_visible()
    found = {}
    for name in PAGES:
        visit(page, name)
        if broken := complaints(page):
            found[name] = broken
    assert found == {}


STOPS = """() => new Set([...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")]
  .filter(each => each.checkVisibility() && !each.disabled && !each.hidden)
  .map((each, place) => each.type === "radio" ? each.name : place)).size"""
"""How many places the keyboard must come to: a group of choices is one."""

HERE = """() => {
  const each = document.activeElement;
  const shown = getComputedStyle(each.matches(".segments input") ? each.nextElementSibling : each);
  const place = [...document.querySelectorAll("*")].indexOf(each);
  return { place, html: each.outerHTML.slice(0, 100), seen: each === document.body || shown.outlineStyle !== "none" };
}"""


def test_the_keyboard_comes_everywhere_and_shows_where_it_is(cluster: FakeCluster, open_page: Open) -> None:
    furnish(cluster)
    page = open_page()
    for name in PAGES:
        visit(page, name)
        stops = page.evaluate(STOPS)
        page.locator(".skip-link").focus()
        places = set()
        for _ in range(stops + 5):
            here = page.evaluate(HERE)
            assert here["seen"], f"{name}: {here['html']}"
            places.add(here["place"])
            page.keyboard.press("Tab")
        assert len(places) >= stops, f"{name}: the keyboard came to {len(places)} of {stops} places"


def test_a_digit_is_drawn_with_the_keyboard_alone(cluster: FakeCluster, open_page: Open) -> None:
    furnish(cluster)
    page = open_page("try")
    expect(page.locator("#model")).not_to_have_value("")
    page.locator("#choose").focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.locator("#pad").focus()
    for key, times in (
        ("ArrowUp", 6),
        ("ArrowLeft", 5),
        (" ", 1),
        ("ArrowRight", 9),
        ("ArrowDown", 12),
        (" ", 1),
    ):
        for _ in range(times):
            page.keyboard.press(key)
    expect(page.locator("#verdict .big")).to_have_text("7")
    page.keyboard.press("Control+z")
    expect(page.locator("#hint")).to_be_visible()


def test_the_search_is_one_key_away(cluster: FakeCluster, open_page: Open) -> None:
    furnish(cluster)
    page = open_page("records")
    page.keyboard.press("/")
    page.keyboard.type("seven")
    expect(page.locator("#rows tr")).to_have_count(1)
    expect(page.locator("#find")).to_have_value("seven")
