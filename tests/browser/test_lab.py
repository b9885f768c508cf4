"""The "break something" panel on a real local cluster: one breaks it, and sees it heal."""

import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from backend import local_cluster
from backend.addresses import parse_address
from backend.client import ClusterClient
from backend.keys import load_client_key
from backend.local_cluster import RunningCluster
from backend.transfers import upload
from tests.browser.test_accessibility import complaints

pytestmark = [pytest.mark.browser, pytest.mark.live]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, RunningCluster]]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("lab")
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        patch.setenv("LOCALAPPDATA", str(folder / "state"))
        data = folder / "cluster"
        running = local_cluster.start(data, 3, 1, 90.0, lambda _: None, lab=True)
        try:
            addresses = [parse_address(worker.address) for worker in running.workers]
            with ClusterClient(addresses, load_client_key(running.keys), 30.0, "test") as client:
                upload(client, bytes(range(256)) * 2_000, "large", lambda done, total: None)
            yield data, running
        finally:
            local_cluster.stop(data)


@pytest.fixture
def page(browser: Browser, cluster: tuple[Path, RunningCluster]) -> Iterator[Page]:
    _, running = cluster
    assert running.lab is not None
    context = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(local_cluster.lab_address(running.lab))
    whole(page)
    yield page
    context.close()


def whole(page: Page) -> None:
    expect(page.locator("#verdict")).to_have_text("All 3 workers hold the same state", timeout=60_000)


def leader(page: Page) -> str:
    card = page.locator(".worker[data-role=leader]")
    expect(card).to_have_count(1, timeout=60_000)
    return card.locator(".name").inner_text().split()[0]


def press(page: Page, worker: str, name: str) -> None:
    page.locator(".worker", has_text=worker).get_by_role("button", name=name).click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_breaks_no_rule_of_axe(
    browser: Browser, cluster: tuple[Path, RunningCluster], scheme: str
) -> None:
    _, running = cluster
    assert running.lab is not None
    look: Any = scheme
    context = browser.new_context(color_scheme=look, bypass_csp=True, locale="en-US")
    page = context.new_page()
    page.goto(local_cluster.lab_address(running.lab))
    whole(page)
    assert complaints(page) == []
    context.close()


def test_a_killed_leader_is_replaced_and_comes_back(page: Page) -> None:
    first = leader(page)
    press(page, first, "Kill")
    story = page.locator("#story")
    expect(story).to_contain_text(f"You killed {first}")
    expect(page.locator(".worker[data-role=leader]")).not_to_contain_text(first, timeout=60_000)
    expect(page.locator(".worker", has_text=first)).to_contain_text("dead")
    press(page, first, "Start")
    whole(page)
    expect(story).to_contain_text("All hold the same state again")


def test_a_leader_that_is_cut_off_is_replaced_and_follows_once_the_links_are_mended(page: Page) -> None:
    first = leader(page)
    links = page.locator(".link", has_text=first).get_by_role("button", name="Cut")
    expect(links).to_have_count(2)
    links.first.click()
    expect(links).to_have_count(1)
    links.first.click()
    expect(links).to_have_count(0)
    said = page.locator("#story li", has_text=re.compile(r"w\d leads in term"))
    expect(said.first).not_to_contain_text(first, timeout=60_000)
    page.get_by_role("button", name="Heal everything").click()
    expect(page.locator(".link[data-cut=true]")).to_have_count(0)
    whole(page)


def test_a_flipped_bit_is_found_and_repaired(page: Page) -> None:
    press(page, "w2", "Flip a bit")
    story = page.locator("#story")
    expect(story).to_contain_text("You flipped a bit on the disk of w2")
    expect(story).to_contain_text(re.compile(r"w2: .*whole again"), timeout=60_000)


def test_a_paused_worker_stands_still_and_goes_on(page: Page) -> None:
    press(page, "w3", "Pause")
    expect(page.locator(".worker", has_text="w3")).to_contain_text("paused")
    press(page, "w3", "Go on")
    whole(page)


def test_nobody_without_the_token_breaks_anything(cluster: tuple[Path, RunningCluster]) -> None:
    _, running = cluster
    assert running.lab is not None
    act = json.dumps({"act": "kill", "worker": "w1"})

    def ask(method: str, path: str, **headers: str) -> int:
        assert running.lab is not None
        connection = http.client.HTTPConnection("127.0.0.1", running.lab.port, timeout=20)
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, act if method == "POST" else None, told)
        status = connection.getresponse().status
        connection.close()
        return status

    token = running.lab.token
    assert ask("POST", "/api/do") == 403
    assert ask("GET", "/api/state", x_minka_token=token[:-1]) == 403
    assert ask("POST", "/api/do", x_minka_token=token, origin="http://evil.example") == 403
    assert ask("GET", "/api/do", x_minka_token=token) == 405
    assert ask("GET", "/api/state", x_minka_token=token, host="evil.example") == 421
    assert ask("GET", "/api/state", x_minka_token=token) == 200


def test_what_makes_no_sense_is_refused(page: Page) -> None:
    for asked in (
        {"act": "format"},
        {"act": "kill", "worker": "w9"},
        {"act": "cut", "worker": "w1", "other": "w1"},
        {},
    ):
        answer = page.evaluate(
            """asked => fetch("/api/do", {
                method: "POST", body: JSON.stringify(asked),
                headers: {"X-Minka-Token": sessionStorage.getItem("minka.lab.token")},
            }).then(async (answer) => [answer.status, (await answer.json()).reason])""",
            asked,
        )
        assert answer[0] == 409
        assert answer[1]
