"""The monitor's page in a real Chromium, on the real monitor process, fed by a node that the test plays."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect, sync_playwright

from tests.browser.fake_node import FakeNode, Story
from tests.browser.waiting import until

pytestmark = pytest.mark.browser

CHROMIUM = os.environ.get("MINKA_CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESK = (1280, 900)
PHONE = (390, 844)

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


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
def open_page(browser: Browser, node: FakeNode) -> Iterator[Open]:
    """Opens the monitor; at the end no page may have had an error, nor broken its own security policy."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_one(
        size: tuple[int, int] = DESK,
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


def test_the_page_shows_what_this_worker_holds(story: Story, open_page: Open) -> None:
    page = open_page()
    expect(page).to_have_title("w1 · Minka")
    expect(page.locator("#role")).to_contain_text("Follower")
    expect(page.locator("#role")).to_contain_text("w2 leads")
    expect(page.locator("#cluster-rows tr")).to_have_count(3)
    expect(page.locator("#verdict")).to_have_text("All 3 workers hold the same state")
    expect(page.locator("#matrix-rows tr")).to_have_count(story.files + len(story.models))
    expect(page.locator("#model-rows progress")).to_have_count(2)
    expect(page.locator("#record-rows tr")).to_have_count(story.record)
    expect(page.locator("#log-rows tr")).to_have_count(story.index)


def test_names_are_shown_as_text_whatever_they_hold(story: Story, open_page: Open) -> None:
    story.put('"><img src=x onerror=alert(1)>.png', 10)
    page = open_page()
    expect(page.locator("#matrix-rows")).to_contain_text("notas <b>de</b> campo & medidas.csv")
    expect(page.locator("#matrix-rows")).to_contain_text('"><img src=x onerror=alert(1)>.png')
    assert page.locator("main img, main b").count() == 0


def test_what_happens_appears_while_one_watches(story: Story, open_page: Open) -> None:
    page = open_page()
    file = story.put("nueva.png", 4321)
    story.train("digits, convolution", "cnn", "done", 1.0, 0.991)
    story.status()
    first = page.locator("#record-rows tr").first
    expect(first).to_contain_text("digits, convolution")
    expect(page.locator("#matrix-rows")).to_contain_text("nueva.png")
    expect(page.locator("#log-rows tr").first).to_contain_text("applied")
    expect(page.locator("#model-rows")).to_contain_text("99.1%")
    story.remove(file)
    expect(page.locator("#matrix-rows")).not_to_contain_text("nueva.png")


def test_what_a_model_is_worth_is_drawn(story: Story, open_page: Open) -> None:
    page = open_page()
    found = {"inputs": "test.npz", "images": 4, "accuracy": 0.75, "labels": ["cat", "<b>"], "client": "ana"}
    wrong = {"image": 3, "label": "<b>", "said": "cat", "probability": 0.9}
    found |= {"confusion": [[2, 0], [1, 1]], "worst": [wrong], "time": 1_760_000_000.0, "index": 31}
    story.evaluate(next(iter(story.models)), found)
    page.locator("summary", has_text="75% of 4 right").click()
    expect(page.locator("#model-rows svg.confusion")).to_be_visible()
    expect(page.locator("#model-rows svg title", has_text="<b> taken for cat: 1")).to_have_count(1)
    expect(page.locator("#model-rows .worst")).to_contain_text("<b> as cat")


def test_an_election_is_seen(story: Story, open_page: Open) -> None:
    page = open_page()
    story.leader, story.term = "w1", 5
    story.offline.add("w2")
    story.status()
    expect(page.locator("#role")).to_contain_text("This worker leads the cluster")
    expect(page.locator(".hero")).to_have_attribute("data-role", "leader")
    expect(page.locator("#cluster-rows tr").nth(1)).to_contain_text("Out of reach")
    expect(page.locator("#ring")).to_have_attribute("aria-label", "2 of 3 workers in reach; leader: w1")


def test_a_worker_with_another_state_is_loud(story: Story, open_page: Open) -> None:
    page = open_page()
    story.different.add("w3")
    story.entry("noop", "")
    story.status()
    expect(page.locator("#verdict .badge")).to_have_attribute("data-tone", "bad")
    expect(page.locator("#verdict")).to_have_text("w3: different state")
    rows = story.files + len(story.models)
    expect(page.locator('#matrix-rows td[data-tone="bad"]')).to_have_count(rows)
    expect(page.locator('#matrix-rows td[data-tone="good"]')).to_have_count(rows)


def test_a_row_counts_as_equal_only_once_the_states_were_compared_with_it(
    story: Story, open_page: Open
) -> None:
    page = open_page()
    waiting = page.locator("#matrix-rows tr", has_text="nueva.png").locator("td[data-tone=warn]")
    story.put("nueva.png", 5)
    expect(waiting).to_have_count(2)
    story.status()
    expect(waiting).to_have_count(0)


def test_a_flood_of_files_is_read_again_and_stays_bounded(story: Story, open_page: Open) -> None:
    page = open_page()
    for number in range(600):
        story.put(f"flood-{number}.png", number)
    story.status()
    expect(page.locator("#matrix-rows tr").nth(len(story.models))).to_contain_text("flood-599.png")
    expect(page.locator("#matrix-more")).to_have_text(f"{story.files + len(story.models)} in all.")
    assert page.locator("#matrix-rows tr").count() < 200
    page.get_by_label("Search files and models").fill("FLOOD-7.png")
    expect(page.locator("#matrix-rows tr")).to_have_count(1)
    page.get_by_label("Search files and models").fill("")
    last = page.locator("#matrix-rows tr").last

    def scrolled_to() -> str:
        page.locator("#consistency .scroll").evaluate("box => { box.scrollTop = box.scrollHeight }")
        return last.inner_text()

    until(lambda: "train-images" in scrolled_to())
    assert page.locator("#matrix-rows tr").count() < 200


def test_searching_narrows_the_lists(story: Story, open_page: Open) -> None:
    page = open_page()
    page.get_by_label("Search files and models").fill("HOJA-01 .png")
    expect(page.locator("#matrix-rows tr")).to_have_count(2)
    page.get_by_label("Search records").fill("(leaves OR)")
    expect(page.locator("#record-rows tr")).to_have_count(0)
    page.get_by_label("Search records").fill("leaves")
    expect(page.locator("#record-rows tr")).to_have_count(1)


def test_every_record_there_ever_was_is_found_and_reached(story: Story, open_page: Open) -> None:
    first = story.record
    rows = [
        {"record": n, "index": n, "time": 1.7e9 + n, "client": "ana", "kind": "put", "summary": f"old {n}"}
        for n in range(first + 1, first + 6_001)
    ]
    rows[77]["summary"] = "a needle"
    story.node.records.append(rows)
    story.record += len(rows)
    story.node.tell("records", records=rows[-1_500:])
    page = open_page()
    shown = page.locator("#record-rows tr")
    expect(shown.first).to_contain_text(f"old {story.record}")
    assert shown.count() < 200
    page.get_by_label("Search records").fill("NEEDLE a")
    expect(page.locator("#records-count")).to_contain_text(f"found among {story.record:,}")
    expect(shown).to_have_count(1)
    page.get_by_label("Search records").fill("")
    expect(shown.first).to_contain_text(f"old {story.record}")

    def scrolled_to() -> str:
        page.locator("#records .scroll").evaluate("box => { box.scrollTop = box.scrollHeight }")
        return shown.last.locator("td").first.inner_text()

    until(lambda: scrolled_to() == "1")
    assert shown.count() < 200


def test_what_comes_in_does_not_move_what_one_reads(story: Story, open_page: Open) -> None:
    for number in range(300):
        story.put(f"file-{number}", number)
    page = open_page()
    expect(page.locator("#record-rows tr").first).to_contain_text("file-299")
    box = page.locator("#records .scroll")
    until(lambda: box.evaluate("box => { box.scrollTop = 4000; return box.scrollTop }") == 4000)
    row = page.locator("#record-rows tr", has_text=r"file-180 ")
    expect(row).to_be_attached()
    before = row.bounding_box()
    story.put("newcomer", 1)
    expect(page.locator("#records-count")).to_contain_text(f"{story.record:,}")
    assert row.bounding_box() == pytest.approx(before, abs=1)


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_it_fits_its_window_in_spanish(story: Story, open_page: Open, size: tuple[int, int]) -> None:
    page = open_page(size, "es-AR")
    expect(page.locator("#role")).to_contain_text("Seguidor")
    expect(page.locator("html")).to_have_attribute("lang", "es")
    assert page.evaluate("document.documentElement.scrollWidth") == size[0]
    assert page.locator("[data-t]:visible").evaluate_all("all => all.filter((one) => !one.textContent)") == []


def test_the_keyboard_reaches_the_content_and_the_lists(story: Story, open_page: Open) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    expect(page.locator(".skip-link")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#cluster .scroll")).to_be_focused()


def test_a_worker_that_ends_is_said_so_and_comes_back(
    node: FakeNode, story: Story, open_page: Open, tmp_path: Path
) -> None:
    page = open_page()
    port = int(node.address.rsplit(":", 1)[1])
    node.close()
    expect(page.locator("#connection")).to_have_text("Worker out of reach; trying again")
    with FakeNode(tmp_path / "again", port) as again:
        Story(again, seed=8).begin()
        expect(page.locator("#connection")).to_have_text("Live", timeout=15_000)
        expect(page.locator("#matrix-rows tr").first).to_be_visible()


def test_an_answer_that_breaks_off_is_asked_for_again(story: Story, open_page: Open) -> None:
    def break_one(page: Page) -> None:
        page.add_init_script("""
            const [whole, late] = [window.fetch, new DOMException("The time is over.", "TimeoutError")];
            let broken = false;
            window.fetch = async (path, options) => {
              const answer = await whole(path, options);
              if (broken || !path.startsWith("/api/log")) return answer;
              broken = true;
              return new Response(new ReadableStream({ start: (body) => body.error(late) }));
            };
        """)

    expect(open_page(prepare=break_one).locator("#log-rows tr")).to_have_count(story.index)


def test_a_stream_that_does_not_open_is_given_up_and_tried_again(story: Story, open_page: Open) -> None:
    held: list[Route] = []

    def hold_the_first(route: Route) -> None:
        held.append(route)
        if len(held) > 1:
            route.continue_()

    def prepare(page: Page) -> None:
        page.clock.install()
        page.route("**/api/events", hold_the_first)
        page.on("load", lambda: page.clock.fast_forward(11_000))

    expect(open_page(prepare=prepare).locator("#log-rows tr")).to_have_count(story.index)


def test_an_answer_to_an_earlier_connection_changes_nothing(story: Story, open_page: Open) -> None:
    """It comes when the page has lost that connection and has asked for everything again."""
    held: list[Route] = []

    def hold_the_first(route: Route) -> None:
        held.append(route)
        if len(held) > 1:
            route.continue_()
        else:
            route.request.frame.page.evaluate("sources[0].onerror()")

    def prepare(page: Page) -> None:
        page.route("**/api/log*", hold_the_first)
        page.add_init_script("""
            window.sources = [];
            window.EventSource = class extends EventSource {
              constructor(path) {
                super(path);
                window.sources.push(this);
              }
            };
        """)

    page = open_page(prepare=prepare)
    with page.expect_response("**/api/log*") as answered:
        held[0].continue_()
    answered.value.finished()
    story.put("nueva.png", 5)
    expect(page.locator("#matrix-rows")).to_contain_text("nueva.png")
    expect(page.locator("#log-rows tr")).to_have_count(story.index)
    expect(page.locator("#connection")).to_have_text("Live")


def test_what_happened_to_this_worker_alone_is_shown(open_page: Open, node: FakeNode, story: Story) -> None:
    page = open_page()
    events = page.locator("#events")
    expect(page.locator("#events-empty")).to_be_visible()
    rows = [
        {"notice": 1, "time": 1_760_000_000.0, "kind": "damage", "text": "the blob <b>abc</b> is damaged"},
        {"notice": 2, "time": 1_760_000_001.0, "kind": "repair", "text": "blob abc is whole again"},
        {
            "notice": 3,
            "time": 1_760_000_002.0,
            "kind": "election",
            "text": "leader in term 7",
            "role": "leader",
            "term": 7,
            "leader": "w1",
        },
        {"notice": 4, "time": 1_760_000_003.0, "kind": "link", "text": "", "peer": "w3", "reached": False},
    ]
    node.tell("notices", notices=rows[:1])
    expect(events).to_contain_text("the blob <b>abc</b> is damaged")
    node.tell("notices", notices=rows)
    shown = page.locator("#event-rows tr")
    expect(shown).to_have_count(4)
    expect(shown.nth(0)).to_contain_text("w3 is out of reach")
    expect(shown.nth(1)).to_contain_text("Leader in term 7; w1 leads")
    expect(shown.nth(2)).to_contain_text("whole again")
    page.get_by_label("Kind").select_option("repair")
    expect(shown).to_have_count(1)
    page.reload()
    expect(shown).to_have_count(4)


VITALS = {
    "timers": {"election_timeout_s": 1.0, "due_s": 0.8},
    "last_index": 40,
    "peers": {
        "w2": {"heard_s": 0.1, "round_trip_s": 0.0021, "match_index": None},
        "w3": {"heard_s": 12.0, "round_trip_s": None, "match_index": None},
    },
    "transfers": [{"way": "pull", "digest": "ab" * 32, "bytes": 4_000_000, "done": 1_000_000, "from": "w2"}],
    "transferred": [{"way": "upload", "digest": "cd" * 32, "bytes": 9_000, "time": 1_760_000_000.0}],
    "jobs": [],
}


def test_timers_peers_and_transfers_are_shown(story: Story, open_page: Open, node: FakeNode) -> None:
    page = open_page()
    node.tell("vitals", vitals=VITALS)
    expect(page.locator("#timers")).to_contain_text("between 1 s and 2 s without its leader")
    expect(page.locator("#timers")).to_contain_text("It heard w2 100 ms ago")
    rows = page.locator("#cluster-rows tr")
    expect(rows.nth(1)).to_contain_text("2.1 ms")
    expect(rows.nth(2)).to_contain_text("12 s ago")
    transfers = page.locator("#transfer-rows tr")
    expect(transfers.nth(0).locator("progress")).to_have_attribute("value", "0.250")
    expect(transfers.nth(1)).to_contain_text("came")
    expect(page.locator("#gauge-commits strong")).to_contain_text("/s")
    expect(page.locator("#lanes .lane").first.locator("i[data-stage=applied]").first).to_be_attached()


def test_a_job_shows_its_rounds_and_who_computes_what(story: Story, open_page: Open, node: FakeNode) -> None:
    page = open_page()
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


def test_a_job_that_failed_shows_why(story: Story, open_page: Open, node: FakeNode) -> None:
    page = open_page()
    failed = next(row for row in story.models.values() if row["status"] == "failed")
    told = {**failed, "error": "The <i>data</i> end.", "traceback": 'File "task.py", line 7\nValueError: no'}
    node.tell("changes", index=story.index, changes=[{"set": "models", "id": failed["id"], "value": told}])
    page.get_by_role("button", name=failed["name"]).click()
    expect(page.locator("#job-title")).to_have_text(failed["name"])
    expect(page.locator("#job-error")).to_contain_text("The <i>data</i> end.")
    expect(page.locator("#job-error pre")).to_contain_text("line 7\nValueError")


def test_a_worker_that_is_silent_is_said_so(story: Story, open_page: Open) -> None:
    def prepare(page: Page) -> None:
        page.clock.install()

    page = open_page(prepare=prepare)
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


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_all_text_can_be_read(story: Story, open_page: Open, node: FakeNode, scheme: str) -> None:
    """Each text has at least the contrast 4.5 to what is behind it (WCAG 2.2, 1.4.3)."""

    def prepare(page: Page) -> None:
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")

    page = open_page(prepare=prepare)
    node.tell("vitals", vitals=VITALS)
    expect(page.locator("#transfer-rows tr")).to_have_count(2)
    weak = page.evaluate(CONTRAST)
    assert weak == []


CONTRAST = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (text) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const light = ([r, g, b]) => {
    const part = (one) => (one / 255 <= 0.04045 ? one / 255 / 12.92 : ((one / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = rgba(getComputedStyle(one).backgroundColor);
      if (colour[3] > 0.95) return colour;
    }
    return [255, 255, 255, 1];
  };
  const found = [];
  for (const element of document.querySelectorAll("main *, header *, footer *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest("svg, .unseen, option")) continue;
    const [a, b] = [light(rgba(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push(`${element.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return found;
}"""
