"""The application on a real cluster: three workers, real bytes, real models, and a leader that is killed meanwhile."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from backend.desktop.bridge import Bridge, DownloadsFolder
from backend.desktop.choices import ChoiceFile
from backend.desktop.finder import ClusterFinder
from backend.desktop.link import Target
from backend.window import open_client
from tests.browser.hands import draw_seven, drop, visit
from tests.live.cluster import LiveCluster

pytestmark = [pytest.mark.browser, pytest.mark.live]

SAMPLES = Path(__file__).parents[2] / "packaging" / "samples"
SOON_MS = 30_000
TRAINED_MS = 90_000

OpenWindow = Callable[[Bridge], Page]


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCluster]:
    with LiveCluster(tmp_path_factory.mktemp("cluster"), 3) as started:
        yield started


@pytest.fixture
def bridge(workers: LiveCluster, tmp_path: Path) -> Iterator[Bridge]:
    for stopped in set(workers.ids) - set(workers.processes):
        workers.start(stopped)
    addresses = tuple(("127.0.0.1", port) for port in workers.ports.values())
    target = Target(addresses, workers.client_key)
    with Bridge(lambda: target, open_client, DownloadsFolder(tmp_path)) as started:
        yield started


@pytest.fixture
def open_window(browser: Browser) -> Iterator[OpenWindow]:
    """A window of its own for a bridge, as on another computer."""
    contexts = []

    def open_one(bridge: Bridge) -> Page:
        context = browser.new_context(locale="en-US", viewport={"width": 1180, "height": 800})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(SOON_MS)
        page.goto(bridge.address)
        return page

    yield open_one
    for context in contexts:
        context.close()


def test_from_a_dropped_data_set_to_an_answer_while_the_leader_dies(
    workers: LiveCluster, bridge: Bridge, open_window: OpenWindow, tmp_path: Path
) -> None:
    page = open_window(bridge)
    expect(page.locator("#link-state")).to_contain_text("3 of 3 workers", timeout=SOON_MS)
    drop(page, sorted(SAMPLES.glob("*.gz")))
    expect(page.locator("#rows tr")).to_have_count(4, timeout=SOON_MS)

    visit(page, "train")
    expect(page.locator("[name=test_outputs] option:checked")).to_contain_text("mnist-test-labels")
    page.locator("[name=name]").fill("digits")
    page.get_by_role("button", name="Start training").click()
    expect(page.locator("#progress .badge")).to_have_text("Ready", timeout=TRAINED_MS)
    expect(page.locator("#progress .chart")).to_be_visible()

    leader = workers.leader()
    visit(page, "cluster")
    expect(page.locator(".map-worker:has(.map-crown)")).to_contain_text(leader)
    workers.kill(leader)
    expect(page.locator(".map-worker[data-role=offline]")).to_contain_text(leader, timeout=SOON_MS)
    expect(page.locator(".map-worker:has(.map-crown)")).not_to_contain_text(leader, timeout=SOON_MS)

    visit(page, "try")
    draw_seven(page)
    expect(page.locator("#verdict .big")).to_have_text("7", timeout=SOON_MS)
    expect(page.locator("#receipt")).not_to_contain_text(leader)

    note = tmp_path / "after.txt"
    note.write_text("written while one worker is down")
    visit(page, "files")
    drop(page, [note])
    expect(page.locator("#rows")).to_contain_text("after.txt", timeout=SOON_MS)
    workers.start(leader)
    expect(page.locator("#link-state")).to_contain_text("3 of 3 workers", timeout=SOON_MS)
    page.get_by_role("button", name="Download after.txt").click()
    expect(page.locator("#queue-rows")).to_contain_text("Saved to", timeout=SOON_MS)
    assert (tmp_path / "after (2).txt").read_text() == note.read_text()
    visit(page, "records")
    expect(page.locator("#rows")).to_contain_text("after.txt")


def test_training_goes_on_under_the_eyes_of_all_while_its_leader_dies(
    workers: LiveCluster, bridge: Bridge, open_window: OpenWindow, tmp_path: Path
) -> None:
    """Two windows on two bridges, as on two computers."""
    addresses = tuple(("127.0.0.1", port) for port in workers.ports.values())
    target = Target(addresses, workers.client_key)
    with Bridge(lambda: target, open_client, DownloadsFolder(tmp_path)) as other_bridge:
        page, other = open_window(bridge), open_window(other_bridge)
        expect(page.locator("#link-state")).to_contain_text("3 of 3 workers", timeout=SOON_MS)
        if not page.locator("#rows", has_text="mnist-test-labels").count():
            drop(page, sorted(SAMPLES.glob("*.gz")))
        expect(other.locator("#rows")).to_contain_text("mnist-test-labels", timeout=SOON_MS)
        visit(page, "train")
        visit(other, "train")
        expect(page.locator("[name=test_outputs] option:checked")).to_contain_text("mnist-test-labels")
        page.locator("[name=name]").fill("watched")
        page.locator("[name=epochs]").fill("400")
        page.get_by_role("button", name="Start training").click()
        for each in (page, other):
            expect(each.locator("#progress h2")).to_have_text("watched", timeout=SOON_MS)
            expect(each.locator(".work li")).to_have_count(3, timeout=SOON_MS)
        leader = workers.leader()
        workers.kill(leader)
        visit(other, "cluster")
        expect(other.locator(".map-worker:has(.map-crown)")).not_to_contain_text(leader, timeout=SOON_MS)
        visit(other, "train")
        expect(other.locator("#progress .badge")).to_have_text("Training", timeout=SOON_MS)
        workers.start(leader)
        expect(page.locator("#link-state")).to_contain_text("3 of 3 workers", timeout=SOON_MS)
        page.get_by_role("button", name="Stop training").click()
        for each in (page, other):
            expect(each.locator("#progress .badge")).to_have_text("Stopped", timeout=SOON_MS)


def test_a_data_set_is_drawn_and_learned(
    workers: LiveCluster, bridge: Bridge, open_window: OpenWindow
) -> None:
    page = open_window(bridge)
    visit(page, "datasets")
    draw_seven(page)
    page.locator("[name=dataset]").fill("drawn")
    page.locator("[name=label]").fill("7")
    page.get_by_role("button", name="Add", exact=True).click()
    for label, count in (("7", 2), ("other", 3), ("other", 4)):
        expect(page.locator("#thumbs li")).to_have_count(count - 1, timeout=SOON_MS)
        draw_seven(page)
        page.locator("[name=label]").fill(label)
        page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#thumbs img[src^=blob]")).to_have_count(4, timeout=SOON_MS)
    expect(page.locator("#class-bars li")).to_have_count(2)
    page.get_by_role("link", name="Train on it").click()
    expect(page.locator("[name=inputs] option:checked")).to_contain_text("drawn · 4 examples")
    page.locator("[name=name]").fill("of drawings")
    page.get_by_role("button", name="Start training").click()
    expect(page.locator("#progress h2")).to_have_text("of drawings", timeout=SOON_MS)
    expect(page.locator("#progress .badge")).to_have_text("Ready", timeout=TRAINED_MS)


def test_a_fresh_computer_finds_the_workers_by_itself(
    workers: LiveCluster, bridge: Bridge, open_window: OpenWindow, tmp_path: Path
) -> None:
    """By datagrams on the loopback interface; nothing but the key is given."""
    key = tmp_path / "client.keys"
    key.write_text(json.dumps({"client": workers.client_key.hex()}))
    choices = ChoiceFile(tmp_path / "desktop.json")
    finder = ClusterFinder(lambda: (None, None), choices, local=lambda: None)
    with Bridge(finder, open_client, DownloadsFolder(tmp_path), choices=choices) as fresh:
        page = open_window(fresh)
        port = str(next(iter(workers.ports.values())))
        mine = page.locator("#found li", has_text=port)
        expect(mine).to_contain_text("3 workers nearby", timeout=SOON_MS)
        drop(page, [key])
        expect(page.locator("#key")).to_contain_text("client.keys is ready")
        mine.get_by_role("radio").check()
        page.get_by_role("button", name="Connect").click()
        expect(page.locator("#link-state")).to_contain_text("3 of 3 workers", timeout=SOON_MS)
