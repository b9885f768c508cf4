"""Both languages are complete, and nothing that they say is cut off."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.fake_cluster import FakeCluster, furnish
from tests.browser.hands import PAGES, visit

pytestmark = pytest.mark.browser

FRONTEND = Path(__file__).parents[2] / "frontend"
USED = re.compile(
    r"""\bt\((?:\w+(?:\.\w+)* (?:===|!==) \w+ \? )?["']([\w.-]+)["'](?: : ["']([\w.-]+)["'])?"""
)

CUT = """() => [...document.querySelectorAll(
    "h1, h2, h3, p, label > span, legend, summary, button, a, dt, dd, li, th, td, .note, .badge, option:checked"
  )].filter(element => {
    const style = getComputedStyle(element);
    const seen = element.offsetParent !== null && style.clipPath === "none" && element.clientWidth > 0;
    const told = element.title || element.querySelector("[title]") || element.closest("[title]");
    const cut = element.scrollWidth > element.clientWidth + 1 && style.display !== "inline";
    const hidden = style.overflowX === "hidden" || style.textOverflow === "ellipsis" || style.overflowX === "clip";
    const out = element.getBoundingClientRect().right > innerWidth + 1 && !element.closest(".scroll");
    return seen && ((cut && hidden && !told) || out);
  }).map(element => `${element.tagName} ${element.textContent.trim().slice(0, 60)}`)"""


@pytest.fixture
def table(open_page: Open) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = open_page().evaluate("async () => (await import('/words.js')).table")
    return found


def test_every_text_is_there_in_both_languages(table: dict[str, dict[str, str]]) -> None:
    assert len(table) > 300
    for key, texts in table.items():
        assert set(texts) == {"en", "es"}, key
        assert all(text.strip() for text in texts.values()), key
        holes = [set(re.findall(r"\{(\w+)\}", text)) for text in texts.values()]
        assert holes[0] == holes[1], f"{key} is filled in differently"


def test_no_page_asks_for_a_text_that_is_not_there(table: dict[str, dict[str, str]]) -> None:
    used = {
        key
        for path in sorted((FRONTEND / "app").rglob("*.js"))
        for match in USED.finditer(path.read_text(encoding="utf-8"))
        for key in match.groups()
        if key
    }
    assert len(used) > 200
    assert sorted(used - set(table)) == []


def test_no_two_tables_have_the_same_key() -> None:
    keys = [
        match
        for path in sorted((FRONTEND / "app" / "words").glob("*.js"))
        for match in re.findall(r'^ {2}"?([\w.@-]+)"?: \{', path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert sorted(key for key in set(keys) if keys.count(key) > 1) == []


@pytest.mark.parametrize("language", ["es-PE", "en-US"])
@pytest.mark.parametrize("size", [(1180, 800), (900, 600), (450, 300), (390, 780)], ids=str)
def test_no_text_is_cut(cluster: FakeCluster, open_page: Open, language: str, size: tuple[int, int]) -> None:
    furnish(cluster)
    page = open_page(language=language, size=size)
    expect(page.locator("#rows tr")).to_have_count(7)
    found = {name: cut for name in PAGES if (cut := _cut(page, name))}
    assert found == {}


def _cut(page: Page, name: str) -> Any:
    visit(page, name)
    if name == "train":
        expect(page.locator("[name=inputs]")).to_be_visible()
        page.get_by_text(re.compile("More choices|Más opciones")).click()
    return page.evaluate(CUT)
