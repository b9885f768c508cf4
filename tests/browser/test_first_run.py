"""The first run: a computer that knows no cluster is shown the way in, and is asked once."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from backend.desktop.bridge import Bridge
from backend.desktop.choices import ChoiceFile
from backend.desktop.finder import ClusterFinder
from backend.local_state import LastStarted
from shared.discovery import Sighting, key_mark
from tests.browser.conftest import LOOK_EVERY_S, Open
from tests.browser.fake_cluster import FakeCluster
from tests.browser.hands import drop, drop_on_window, visit
from tests.browser.waiting import until

pytestmark = pytest.mark.browser

KEY = b"k" * 32
WORKERS = [Sighting("c1", key_mark(KEY), f"w{number}", f"192.168.1.2{number}:7400") for number in (1, 2, 3)]


class Network:
    """Who is there, and what was started on this computer."""

    def __init__(self) -> None:
        self.workers: list[Sighting] = []
        self.local: LastStarted | None = None


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def choices(tmp_path: Path) -> ChoiceFile:
    return ChoiceFile(tmp_path / "desktop.json")


@pytest.fixture
def bridge(cluster: FakeCluster, network: Network, choices: ChoiceFile) -> Iterator[Bridge]:
    finder = ClusterFinder(
        lambda: (None, None), choices, lambda *_, **__: network.workers, lambda: network.local
    )
    with Bridge(
        finder, lambda _target, _timeout: cluster, choices=choices, look_every_s=LOOK_EVERY_S
    ) as started:
        yield started


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "client.keys"
    path.write_text(json.dumps({"client": KEY.hex()}))
    return path


def connected(page: Page) -> None:
    expect(page.locator("#link-state")).to_contain_text("3 of 3 workers")
    expect(page.locator("#welcome")).to_be_hidden()
    expect(page.locator("h1")).to_have_text("Files")


def test_a_cluster_nearby_is_chosen_with_its_key(
    network: Network, open_page: Open, keys: Path, choices: ChoiceFile
) -> None:
    page = open_page()
    expect(page.locator("h1:visible")).to_have_text("Welcome to Minka")
    expect(page.locator("#looking")).to_be_visible()
    network.workers = WORKERS
    expect(page.locator("#found")).to_contain_text("3 workers nearby")
    page.get_by_role("button", name="Connect").click()
    expect(page.locator("#connect-problem")).to_have_text("Give the key of the cluster first.")
    drop(page, [keys])
    expect(page.locator("#key")).to_contain_text("client.keys is ready")
    page.get_by_role("button", name="Connect").click()
    connected(page)
    assert (choices.get().key, choices.get().addresses) == (KEY.hex(), "")


def test_the_key_is_taken_from_a_drop_on_the_window_too(
    bridge: Bridge, network: Network, open_page: Open, keys: Path, tmp_path: Path
) -> None:
    network.workers = WORKERS
    page = open_page()
    expect(page.locator("#found")).to_contain_text("nearby")
    large = tmp_path / "large.keys"
    large.write_bytes(b"k" * 5000)
    drop_on_window(page, bridge, [large])
    expect(page.locator("#toasts")).to_contain_text("large.keys is too large to be a key")
    drop_on_window(page, bridge, [keys])
    expect(page.locator("#key")).to_contain_text("client.keys is ready")
    page.get_by_role("button", name="Connect").click()
    connected(page)


def test_the_next_window_connects_by_itself_when_a_worker_appears(
    network: Network, open_page: Open, choices: ChoiceFile
) -> None:
    choices.change(key=KEY.hex())
    page = open_page()
    expect(page.locator("#notice")).to_contain_text("No worker answers yet")
    network.workers = WORKERS
    connected(page)


def test_an_address_and_a_pasted_key_do_too(open_page: Open, choices: ChoiceFile) -> None:
    page = open_page()
    page.locator("[name=addresses]").fill("somewhere")
    page.get_by_text("Paste it instead").click()
    page.locator("[name=key]").fill("f00")
    page.get_by_role("button", name="Connect").click()
    expect(page.locator("#connect-problem")).to_contain_text("is not a key of Minka")
    page.locator("[name=key]").fill(KEY.hex())
    page.get_by_role("button", name="Connect").click()
    expect(page.locator("#connect-problem")).to_contain_text("is not the address of a worker")
    page.locator("[name=addresses]").fill("192.168.1.20:7400")
    page.get_by_role("button", name="Connect").click()
    connected(page)
    assert choices.get().addresses == "192.168.1.20:7400"


def test_the_key_of_another_cluster_is_told(network: Network, open_page: Open, tmp_path: Path) -> None:
    network.workers = WORKERS
    other = tmp_path / "client.keys"
    other.write_text(json.dumps({"client": "0f" * 32}))
    page = open_page()
    expect(page.locator("#found")).to_contain_text("nearby")
    drop(page, [other])
    page.get_by_role("button", name="Connect").click()
    expect(page.locator("#connect-problem")).to_contain_text("This key opens another cluster")


def test_a_cluster_that_is_started_here_needs_no_choice(
    network: Network, open_page: Open, keys: Path
) -> None:
    page = open_page()
    expect(page.locator("#welcome")).to_contain_text("minka cluster up")
    network.local = LastStarted("data", "127.0.0.1:7400", str(keys))
    connected(page)


class TestSettings:
    def test_another_cluster_is_chosen_and_forgotten(self, open_page: Open, choices: ChoiceFile) -> None:
        choices.change(key=KEY.hex(), addresses="192.168.1.20:7400")
        page = open_page("settings")
        expect(page.locator("#source")).to_have_text("You have chosen this cluster.")
        page.get_by_text("Use another cluster").click()
        page.locator("[name=addresses]").fill("192.168.1.99:7400")
        page.get_by_role("button", name="Connect").click()
        expect(page.locator("#cluster-facts")).to_contain_text("192.168.1.99:7400")
        page.get_by_role("button", name="Forget address and key").click()
        expect(page.locator("#source")).to_have_text("None yet.")
        until(lambda: choices.get().key == "")
        visit_hidden(page)

    def test_the_look_changes_at_once_and_is_kept(self, open_page: Open, choices: ChoiceFile) -> None:
        page = open_page("settings")
        ground = "getComputedStyle(document.documentElement).backgroundColor"
        light = page.evaluate(ground)
        page.get_by_text("Dark", exact=True).click()
        until(lambda: choices.get().theme == "dark")
        assert page.evaluate(ground) != light
        page.reload()
        expect(page.locator("[value=dark]")).to_be_checked()
        assert page.evaluate(ground) != light, "before anything is drawn"
        page.get_by_text("As the system").click()
        until(lambda: choices.get().theme == "")
        assert page.evaluate(ground) == light
        page.get_by_text("Español", exact=True).last.click()
        expect(page.locator("h1:visible")).to_have_text("Ajustes")
        assert choices.get().language == "es"

    def test_the_choice_comes_with_the_address_of_the_next_run(
        self, bridge: Bridge, open_page: Open, choices: ChoiceFile
    ) -> None:
        choices.change(theme="dark", language="es")
        page = open_page("settings")
        expect(page.locator("h1:visible")).to_have_text("Ajustes")
        expect(page.locator("[value=dark]")).to_be_checked()


def visit_hidden(page: Page) -> None:
    """Back at a page of a cluster, there being none, the way in is shown."""
    page.evaluate("location.hash = '#/files'")
    expect(page.locator("h1:visible")).to_have_text("Welcome to Minka")
    visit(page, "settings")
