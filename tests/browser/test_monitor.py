"""The monitor's page in a real Chromium, on the real monitor process, fed by a node that the test plays."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.fake_node import FakeNode, Story
from tests.browser.waiting import until

pytestmark = pytest.mark.browser

DESK = (1280, 900)
PHONE = (390, 844)

Open = Callable[..., Page]


def test_the_page_shows_what_this_worker_holds(story: Story, open_monitor: Open) -> None:
    page = open_monitor()
    expect(page).to_have_title("w1 · Minka")
    expect(page.locator("#role")).to_contain_text("Follower")
    expect(page.locator("#role")).to_contain_text("w2 leads")
    expect(page.locator("#cluster-rows tr")).to_have_count(3)
    expect(page.locator("#verdict")).to_have_text("All 3 workers hold the same state")
    expect(page.locator("#matrix-rows tr")).to_have_count(story.files + len(story.models))
    expect(page.locator("#model-rows progress")).to_have_count(2)
    expect(page.locator("#record-rows tr")).to_have_count(story.record)
    expect(page.locator("#log-rows tr")).to_have_count(story.index)


def test_names_are_shown_as_text_whatever_they_hold(story: Story, open_monitor: Open) -> None:
    story.put('"><img src=x onerror=alert(1)>.png', 10)
    page = open_monitor()
    expect(page.locator("#matrix-rows")).to_contain_text("notas <b>de</b> campo & medidas.csv")
    expect(page.locator("#matrix-rows")).to_contain_text('"><img src=x onerror=alert(1)>.png')
    assert page.locator("main img, main b").count() == 0


def test_what_happens_appears_while_one_watches(story: Story, open_monitor: Open) -> None:
    page = open_monitor()
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


def test_what_a_model_is_worth_is_drawn(story: Story, open_monitor: Open) -> None:
    page = open_monitor()
    found = {"inputs": "test.npz", "images": 4, "accuracy": 0.75, "labels": ["cat", "<b>"], "client": "ana"}
    wrong = {"image": 3, "label": "<b>", "said": "cat", "probability": 0.9}
    found |= {"confusion": [[2, 0], [1, 1]], "worst": [wrong], "time": 1_760_000_000.0, "index": 31}
    model = next(iter(story.models))
    story.evaluate(model, found)
    expect(page.locator("#model-rows")).to_contain_text("75% of 4 right")
    page.locator(f"[data-model={model}]").click()
    shown = page.locator("#job-evaluation")
    expect(shown.locator("svg.confusion")).to_be_visible()
    expect(shown.locator("svg title", has_text="<b> taken for cat: 1")).to_have_count(1)
    expect(shown.locator(".worst")).to_contain_text("<b> as cat")


def test_an_election_is_seen(story: Story, open_monitor: Open) -> None:
    page = open_monitor()
    story.leader, story.term = "w1", 5
    story.offline.add("w2")
    story.status()
    expect(page.locator("#role")).to_contain_text("This worker leads the cluster")
    expect(page.locator(".hero")).to_have_attribute("data-role", "leader")
    expect(page.locator("#cluster-rows tr").nth(1)).to_contain_text("Out of reach")
    expect(page.locator("#ring")).to_have_attribute("aria-label", "2 of 3 workers in reach; leader: w1")


def test_a_worker_with_another_state_is_loud(story: Story, open_monitor: Open) -> None:
    page = open_monitor()
    story.different.add("w3")
    story.entry("noop", "")
    story.status()
    expect(page.locator("#verdict .badge")).to_have_attribute("data-tone", "bad")
    expect(page.locator("#verdict")).to_have_text("w3: different state")
    rows = story.files + len(story.models)
    expect(page.locator('#matrix-rows td[data-tone="bad"]')).to_have_count(rows)
    expect(page.locator('#matrix-rows td[data-tone="good"]')).to_have_count(rows)


def test_a_row_counts_as_equal_only_once_the_states_were_compared_with_it(
    story: Story, open_monitor: Open
) -> None:
    page = open_monitor()
    waiting = page.locator("#matrix-rows tr", has_text="nueva.png").locator("td[data-tone=warn]")
    story.put("nueva.png", 5)
    expect(waiting).to_have_count(2)
    story.status()
    expect(waiting).to_have_count(0)


def test_a_flood_of_files_is_read_again_and_stays_bounded(story: Story, open_monitor: Open) -> None:
    page = open_monitor()
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


def test_searching_narrows_the_lists(story: Story, open_monitor: Open) -> None:
    page = open_monitor()
    page.get_by_label("Search files and models").fill("HOJA-01 .png")
    expect(page.locator("#matrix-rows tr")).to_have_count(2)
    page.get_by_label("Search records").fill("(leaves OR)")
    expect(page.locator("#record-rows tr")).to_have_count(0)
    page.get_by_label("Search records").fill("leaves")
    expect(page.locator("#record-rows tr")).to_have_count(1)


def test_every_record_there_ever_was_is_found_and_reached(story: Story, open_monitor: Open) -> None:
    first = story.record
    rows = [
        {"record": n, "index": n, "time": 1.7e9 + n, "client": "ana", "kind": "put", "summary": f"old {n}"}
        for n in range(first + 1, first + 6_001)
    ]
    rows[77]["summary"] = "a needle"
    story.node.records.append(rows)
    story.record += len(rows)
    story.node.tell("records", records=rows[-1_500:])
    page = open_monitor()
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


def test_what_comes_in_does_not_move_what_one_reads(story: Story, open_monitor: Open) -> None:
    for number in range(300):
        story.put(f"file-{number}", number)
    page = open_monitor()
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
def test_it_fits_its_window_in_spanish(story: Story, open_monitor: Open, size: tuple[int, int]) -> None:
    page = open_monitor(size, "es-AR")
    expect(page.locator("#role")).to_contain_text("Seguidor")
    expect(page.locator("html")).to_have_attribute("lang", "es")
    assert page.evaluate("document.documentElement.scrollWidth") == size[0]
    assert page.locator("[data-t]:visible").evaluate_all("all => all.filter((one) => !one.textContent)") == []


def test_the_keyboard_reaches_the_content_and_the_lists(story: Story, open_monitor: Open) -> None:
    page = open_monitor()
    page.keyboard.press("Tab")
    expect(page.locator(".skip-link")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#cluster .scroll")).to_be_focused()


def test_a_worker_that_ends_is_said_so_and_comes_back(
    node: FakeNode, story: Story, open_monitor: Open, tmp_path: Path
) -> None:
    page = open_monitor()
    port = int(node.address.rsplit(":", 1)[1])
    node.close()
    expect(page.locator("#connection")).to_have_text("Worker out of reach; trying again")
    with FakeNode(tmp_path / "again", port) as again:
        Story(again, seed=8).begin()
        expect(page.locator("#connection")).to_have_text("Live", timeout=15_000)
        expect(page.locator("#matrix-rows tr").first).to_be_visible()


def test_an_answer_that_breaks_off_is_asked_for_again(story: Story, open_monitor: Open) -> None:
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

    expect(open_monitor(prepare=break_one).locator("#log-rows tr")).to_have_count(story.index)


def test_a_stream_that_does_not_open_is_given_up_and_tried_again(story: Story, open_monitor: Open) -> None:
    held: list[Route] = []

    def hold_the_first(route: Route) -> None:
        held.append(route)
        if len(held) > 1:
            route.continue_()

    def prepare(page: Page) -> None:
        page.clock.install()
        page.route("**/api/events", hold_the_first)
        page.on("load", lambda: page.clock.fast_forward(11_000))

    expect(open_monitor(prepare=prepare).locator("#log-rows tr")).to_have_count(story.index)


def test_an_answer_to_an_earlier_connection_changes_nothing(story: Story, open_monitor: Open) -> None:
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

    page = open_monitor(prepare=prepare)
    with page.expect_response("**/api/log*") as answered:
        held[0].continue_()
    answered.value.finished()
    story.put("nueva.png", 5)
    expect(page.locator("#matrix-rows")).to_contain_text("nueva.png")
    expect(page.locator("#log-rows tr")).to_have_count(story.index)
    expect(page.locator("#connection")).to_have_text("Live")


def test_what_happened_to_this_worker_alone_is_shown(
    open_monitor: Open, node: FakeNode, story: Story
) -> None:
    page = open_monitor()
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
