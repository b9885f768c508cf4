"""The monitor's page: training, transfers, timers; and without JavaScript."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.fake_node import FakeNode, Story

pytestmark = pytest.mark.browser

Open = Callable[..., Page]

VITALS = {
    "election_timeout_s": 1.0,
    "trainers": 1,
    "log_begins": 7,
    "durable_index": 39,
    "last_index": 40,
    "peers": {
        "w2": {"heard_s": 0.1, "round_trip_s": 0.0021, "match_index": None},
        "w3": {"heard_s": 12.0, "round_trip_s": None, "match_index": None},
    },
    "transfers": [{"way": "pull", "digest": "ab" * 32, "bytes": 4_000_000, "done": 1_000_000, "from": "w2"}],
    "transferred": [{"way": "upload", "digest": "cd" * 32, "bytes": 9_000, "time": 1_760_000_000.0}],
    "jobs": [],
}


def test_timers_peers_and_transfers_are_shown(story: Story, open_monitor: Open, node: FakeNode) -> None:
    page = open_monitor()
    node.tell("vitals", vitals=VITALS)
    expect(page.locator("#timers")).to_contain_text("between 1 s and 2 s without its leader")
    expect(page.locator("#timers")).to_contain_text("It heard w2 100 ms ago")
    rows = page.locator("#cluster-rows tr")
    expect(rows.nth(1)).to_contain_text("2.1 ms")
    expect(rows.nth(2)).to_contain_text("12 s ago")
    expect(page.locator("#log-count")).to_contain_text("On disk from 7 to 39.")
    transfers = page.locator("#transfer-rows tr")
    expect(transfers.nth(0).locator("progress")).to_have_attribute("value", "0.250")
    expect(transfers.nth(1)).to_contain_text("came")
    expect(page.locator("#gauge-commits strong")).to_contain_text("/s")
    expect(page.locator("#lanes .lane").first.locator("i[data-stage=applied]").first).to_be_attached()


def test_a_job_shows_its_rounds_and_who_computes_what(
    story: Story, open_monitor: Open, node: FakeNode
) -> None:
    page = open_monitor()
    model = next(id for id, row in story.models.items() if row["status"] == "training")
    rounds = [
        {"round": n, "loss": 1 / n, "test_accuracy": 0.9 + n / 1_000 if n % 4 == 0 else None}
        for n in range(1, 21)
    ]
    node.tell("rounds", model=model, rounds=rounds)
    job = {"model": model, "round": 20, "rounds": 50, "of": 3, "work": {"w1": 30, "w2": 29, "w<3>": 1}}
    node.tell(
        "vitals", vitals={**VITALS, "jobs": [{**job, "open": 2, "shards": [[1, {"w2": 0.3}], [2, {}]]}]}
    )
    chart = page.locator("#job-chart")
    expect(chart).to_have_attribute("aria-label", "Round 20: loss 0.0500, accuracy 92%")
    expect(chart.locator("circle")).to_have_count(5)
    shards = page.locator(".shards li")
    expect(shards).to_have_text(["0✓", "1w2", "2…"])
    expect(page.locator(".work li")).to_have_count(3)
    expect(page.locator(".work")).to_contain_text("w<3>")
    chart.hover()
    expect(chart.locator(".cursor")).to_have_attribute("visibility", "visible")


def test_a_job_that_failed_shows_why(story: Story, open_monitor: Open, node: FakeNode) -> None:
    page = open_monitor()
    failed = next(row for row in story.models.values() if row["status"] == "failed")
    told = {**failed, "error": "The <i>data</i> end.", "traceback": 'File "task.py", line 7\nValueError: no'}
    node.tell("changes", index=story.index, changes=[{"set": "models", "id": failed["id"], "value": told}])
    page.get_by_role("button", name=failed["name"]).click()
    expect(page.locator("#job-title")).to_have_text(failed["name"])
    expect(page.locator("#job-error")).to_contain_text("The <i>data</i> end.")
    expect(page.locator("#job-error pre")).to_contain_text("line 7\nValueError")


def test_a_worker_that_is_silent_is_said_so(story: Story, open_monitor: Open) -> None:
    def prepare(page: Page) -> None:
        page.clock.install()

    page = open_monitor(prepare=prepare)
    page.clock.run_for(4_000)
    expect(page.locator("#connection")).to_have_text("The worker is silent: stopped, or hung")
    story.status()
    expect(page.locator("#connection")).to_have_text("Live")


def test_without_javascript_the_essentials_are_tables(story: Story, browser: Browser, node: FakeNode) -> None:
    context = browser.new_context(java_script_enabled=False, locale="es-AR")
    page = context.new_page()
    page.goto(node.address)
    page.wait_for_url("**/plain")
    expect(page.locator("h1")).to_have_text("Monitor de w1")
    expect(page.locator("table")).to_have_count(5)
    expect(page.locator("table").first).to_contain_text("igual")
    expect(page.locator("body")).to_contain_text("notas <b>de</b> campo & medidas.csv")
    context.close()
