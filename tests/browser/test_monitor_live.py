"""The monitor of a real worker in a real Chromium, through an election, a repair and a training run."""

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from backend.cli import main
from backend.transfers import upload
from tests.live.cluster import LiveCluster, wait_for, whole_on

pytestmark = [pytest.mark.browser, pytest.mark.live]
SAMPLES = Path(__file__).parents[2] / "packaging" / "samples"
LONG_ms = 120_000


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCluster]:
    with LiveCluster(tmp_path_factory.mktemp("live") / "cluster", 3, 1, ["--scrub-pause", "1"]) as started:
        yield started
        print(started.logs())


def open_monitor(browser: Browser, cluster: LiveCluster, id: str) -> Page:
    page = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 900}).new_page()
    page.goto(f"http://127.0.0.1:{cluster.monitors[id]}/")
    expect(page.locator("#connection")).to_have_text("Live")
    return page


def test_a_training_run_is_followed_from_its_first_round_to_its_weights(
    browser: Browser, cluster: LiveCluster
) -> None:
    leader = cluster.leader()
    follower = next(id for id in cluster.ids if id != leader)
    page = open_monitor(browser, cluster, follower)
    files = {
        "--inputs": "mnist-train-images.idx.gz",
        "--outputs": "mnist-train-labels.idx.gz",
        "--test-inputs": "mnist-test-images.idx.gz",
        "--test-outputs": "mnist-test-labels.idx.gz",
    }
    told = [text for option, name in files.items() for text in (option, str(SAMPLES / name))]
    where = ["--cluster", cluster.address, "--keys", str(cluster.directory / "client.keys")]
    assert (
        main(["train", *told, *where, "--epochs", "6", "--arch", "cnn", "--name", "followed", "--detach"])
        == 0
    )
    expect(page.locator("#job-title")).to_have_text("followed", timeout=LONG_ms)
    expect(page.locator(".shards li[data-stage=runs]").first).to_be_visible(timeout=LONG_ms)
    expect(page.locator(".work li").first).to_be_visible(timeout=LONG_ms)
    expect(page.locator("#job-chart path.loss")).to_be_visible(timeout=LONG_ms)
    expect(page.locator("#model-rows")).to_contain_text("Done", timeout=LONG_ms)
    expect(page.locator("#job-chart path.accuracy")).to_be_visible(timeout=LONG_ms)
    expect(page.locator("#job-facts dd").first).to_have_text(re.compile(r"^(\d+) / \1$"))
    expect(page.locator("#matrix-rows tr", has_text="followed").locator("td[data-tone=good]")).to_have_count(
        2, timeout=LONG_ms
    )
    page.context.close()


def test_a_repair_is_seen(browser: Browser, cluster: LiveCluster) -> None:
    with cluster.client() as client:
        row = upload(client, random.Random(2).randbytes(300_000), "large", lambda done, total: None)
        wait_for("all copies", lambda: whole_on(client, cluster.ids))
    page = open_monitor(browser, cluster, "w2")
    path = cluster.directory / "w2" / "blobs" / row["digest"][:2] / row["digest"]
    with path.open("r+b") as file:
        file.seek(1_000)
        byte = file.read(1)[0]
        file.seek(1_000)
        file.write(bytes([byte ^ 1]))
    events = page.locator("#event-rows")
    expect(events).to_contain_text("is damaged on the disk", timeout=LONG_ms)
    expect(events).to_contain_text("is whole again", timeout=LONG_ms)
    expect(page.locator("#transfer-rows")).to_contain_text(row["digest"][:10], timeout=LONG_ms)
    page.context.close()


def test_an_election_is_seen_and_the_lost_worker_comes_back(browser: Browser, cluster: LiveCluster) -> None:
    first = cluster.leader()
    watched = next(id for id in cluster.ids if id != first)
    page = open_monitor(browser, cluster, watched)
    cluster.kill(first)
    events = page.locator("#event-rows")
    expect(page.locator("#role")).not_to_contain_text(f"{first} leads", timeout=LONG_ms)
    expect(events).to_contain_text(re.compile(r"(Leader|Follower) in term \d+; w\d leads"), timeout=LONG_ms)
    expect(events).to_contain_text(f"{first} is out of reach", timeout=LONG_ms)
    expect(page.locator("#cluster-rows tr", has_text=first)).to_contain_text("Out of reach")
    cluster.start(first)
    expect(events).to_contain_text(f"{first} is in reach again", timeout=LONG_ms)
    expect(page.locator("#verdict")).to_have_text("All 3 workers hold the same state", timeout=LONG_ms)
    page.context.close()
