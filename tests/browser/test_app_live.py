"""The application on a real cluster: three workers, real bytes, a real model, and a leader that is killed meanwhile."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from backend.desktop.bridge import Bridge, DownloadsFolder
from backend.desktop.link import Target
from backend.window import open_client
from tests.browser.chromium import ARGUMENTS, CHROMIUM
from tests.browser.hands import draw_seven, drop, visit
from tests.live.cluster import LiveCluster

pytestmark = [pytest.mark.browser, pytest.mark.live]

SAMPLES = Path(__file__).parents[2] / "packaging" / "samples"
SOON_MS = 20_000
TRAINED_MS = 60_000


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCluster]:
    with LiveCluster(tmp_path_factory.mktemp("cluster"), 3) as started:
        yield started


@pytest.fixture
def page(workers: LiveCluster, tmp_path: Path) -> Iterator[Page]:
    addresses = tuple(("127.0.0.1", port) for port in workers.ports.values())
    target = Target(addresses, workers.client_key)
    with (
        Bridge(lambda: target, open_client, DownloadsFolder(tmp_path)) as bridge,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS) as browser,
    ):
        opened = browser.new_page(locale="en-US", viewport={"width": 1180, "height": 800})
        opened.set_default_timeout(SOON_MS)
        opened.goto(bridge.address)
        yield opened


def test_from_a_dropped_data_set_to_an_answer_while_the_leader_dies(
    workers: LiveCluster, page: Page, tmp_path: Path
) -> None:
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
