"""A page of which a part did not come is started again: Chromium gives up what it loads when the network changes."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from backend.desktop.bridge import Bridge


def fail_once(context: BrowserContext, part: str) -> list[str]:
    """Have the next request for `part` fail as it does when Wi-Fi is joined; returns what was asked for since."""
    asked: list[str] = []

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) == 1:
            route.abort("internetdisconnected")
        else:
            route.continue_()

    context.route(part, answer)
    return asked


@pytest.mark.parametrize("part", ["**/main.js", "**/parts/drop.js", "**/app.css", "**/common/theme.css"])
def test_the_window_comes_when_a_part_of_it_failed_at_first(
    browser: Browser, bridge: Bridge, part: str
) -> None:
    context = browser.new_context(locale="en-US")
    asked = fail_once(context, part)
    page = context.new_page()
    page.goto(bridge.address)
    if len(asked) == 1:
        page.wait_for_event("load")
    assert len(asked) == 2
    expect(page.locator("html")).to_have_attribute("data-ready", "yes")
    expect(page.locator("#menu a").first).to_have_text("Files")
    expect(page.locator("html")).to_have_css("color-scheme", "light")
    context.close()


def test_the_monitor_comes_when_a_part_of_it_failed_at_first(open_monitor: Callable[..., Page]) -> None:
    asked: list[list[str]] = []
    open_monitor(prepare=lambda page: asked.append(fail_once(page.context, "**/state.js")))
    assert len(asked[0]) == 2
