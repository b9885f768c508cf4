"""What holds for every test in a browser, and the application's page on a bridge whose cluster the test plays."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from backend.desktop.bridge import Bridge, DownloadsFolder
from backend.desktop.link import Target
from tests.browser.chromium import ARGUMENTS, CHROMIUM
from tests.browser.fake_cluster import FakeCluster
from tests.browser.fake_node import FakeNode, Story
from tests.browser.hands import visit

# How long a page may take on a busy machine before it counts as wrong.
expect.set_options(timeout=30_000)

LOOK_EVERY_S = 0.1
DESK = (1180, 800)
MONITOR_DESK = (1280, 900)

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def absent(cluster: FakeCluster) -> FakeCluster:
    """The cluster, with no worker that answers from the beginning; to be asked for before the page."""
    cluster.go_offline()
    return cluster


@pytest.fixture
def bridge(cluster: FakeCluster, tmp_path: Path) -> Iterator[Bridge]:
    saved = tmp_path / "saved"
    saved.mkdir()
    target = Target((("127.0.0.1", 7400),), b"k" * 32)
    with Bridge(
        lambda: target, lambda _target, _timeout: cluster, DownloadsFolder(saved), look_every_s=LOOK_EVERY_S
    ) as started:
        yield started


@pytest.fixture
def open_page(browser: Browser, bridge: Bridge) -> Iterator[Open]:
    """Opens the application; at the end no page may have had an error, nor broken its own security policy."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_one(
        name: str = "",
        size: tuple[int, int] = DESK,
        language: str = "en-US",
        scheme: Literal["light", "dark"] = "light",
        **more: Any,
    ) -> Page:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            locale=language,
            color_scheme=scheme,
            reduced_motion="reduce",
            **more,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.goto(bridge.address)
        if name:
            visit(page, name)
        return page

    yield open_one
    for context in contexts:
        context.close()
    # Chromium itself logs answers of 4xx and 5xx, which some tests provoke.
    assert [complaint for complaint in complaints if "Failed to load resource" not in complaint] == []


@pytest.fixture
def node(tmp_path: Path) -> Iterator[FakeNode]:
    with FakeNode(tmp_path / "records") as started:
        yield started


@pytest.fixture
def story(node: FakeNode) -> Story:
    begun = Story(node)
    begun.begin()
    return begun


@pytest.fixture
def open_monitor(browser: Browser, node: FakeNode) -> Iterator[Open]:
    """Opens the monitor; at the end no page may have had an error, nor broken its own security policy."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_one(
        size: tuple[int, int] = MONITOR_DESK,
        language: str = "en-US",
        prepare: Callable[[Page], None] = lambda page: None,
    ) -> Page:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, locale=language)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        prepare(page)
        page.goto(node.address)
        expect(page.locator("#connection")).to_have_text(re.compile("Live|En vivo"))
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert [complaint for complaint in complaints if "ERR_" not in complaint] == []
