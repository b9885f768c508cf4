"""The application's page in a real Chromium, on the real bridge, with a cluster that the test plays."""

import threading
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from backend.desktop.bridge import Bridge
from tests.browser.conftest import Open
from tests.browser.fake_cluster import FakeCluster, furnish
from tests.browser.hands import PAGES, draw_seven, drop, drop_on_window, inked, visit
from tests.browser.waiting import until

pytestmark = pytest.mark.browser

SMALL = (900, 600)
ZOOMED = (450, 300)
PHONE = (390, 780)


class TestTheWindow:
    def test_the_token_leaves_the_address_and_survives_a_reload(self, open_page: Open) -> None:
        page = open_page()
        expect(page.locator("#link-state")).to_contain_text("3 of 3 workers")
        assert "token" not in page.url
        page.reload()
        expect(page.locator("#link-state")).to_contain_text("Connected")

    def test_without_the_token_it_says_what_to_do(self, browser: Browser, bridge: Bridge) -> None:
        page = browser.new_page()
        page.goto(bridge.access.origin)
        expect(page.locator("#notice")).to_contain_text("Close it and open Minka again")
        page.close()

    def test_every_page_is_reached_by_menu_and_by_keyboard(self, open_page: Open) -> None:
        page = open_page()
        for position, name in enumerate(PAGES, 1):
            page.keyboard.press(f"Alt+{position}")
            expect(page.locator(f".page-{name} h1")).to_be_visible()
            expect(page.locator("[aria-current=page]")).to_have_attribute("href", f"#/{name}")
        page.get_by_role("link", name="Files").click()
        expect(page.locator(".page-files")).to_be_visible()

    def test_its_language_is_changed_at_any_moment(self, cluster: FakeCluster, open_page: Open) -> None:
        furnish(cluster)
        page = open_page(language="es-PE")
        expect(page.locator("h1")).to_have_text("Archivos")
        page.locator("#language").click()
        expect(page.locator("h1")).to_have_text("Files")

    def test_no_worker_is_told_calmly_and_heals_by_itself(self, absent: FakeCluster, open_page: Open) -> None:
        page = open_page()
        expect(page.locator("#notice")).to_contain_text("No worker answers yet")
        expect(page.locator("#nothing")).to_contain_text("as soon as a worker answers")
        absent.come_back()
        expect(page.locator("#notice")).to_be_hidden()
        expect(page.locator("#nothing")).to_contain_text("No files yet")

    def test_a_wrong_key_is_told_apart(self, cluster: FakeCluster, open_page: Open) -> None:
        cluster.lock_out()
        page = open_page()
        expect(page.locator("#notice")).to_contain_text("do not let this computer in")

    def test_a_stopped_bridge_is_told_apart(self, open_page: Open, bridge: Bridge) -> None:
        page = open_page()
        expect(page.locator("#link-state")).to_contain_text("Connected")
        page.route("**/api/**", lambda route: route.abort())
        bridge._server.call_soon(lambda: [each.close() for each in list(bridge._server._connections)])
        expect(page.locator("#notice")).to_contain_text("has stopped")

    def test_a_fault_in_drawing_is_not_a_lost_connection(
        self, browser: Browser, bridge: Bridge, cluster: FakeCluster
    ) -> None:
        page = browser.new_page(locale="en-US")
        page.route("**/api/records", lambda route: route.fulfill(json={"known": True, "records": 5}))
        page.goto(bridge.address)
        visit(page, "records")
        expect(page.locator(".fault")).to_contain_text("a fault of the application, not of the cluster")
        expect(page.locator("#link-state")).to_contain_text("Connected")
        page.close()

    def test_a_cut_answer_is_asked_for_again(
        self, browser: Browser, bridge: Bridge, cluster: FakeCluster
    ) -> None:
        furnish(cluster)
        page = browser.new_page(locale="en-US")
        page.route("**/api/files", lambda route: route.fulfill(body='{"files": ['), times=1)
        page.goto(bridge.address)
        expect(page.locator("#rows tr")).to_have_count(7)
        assert page.locator(".fault").count() == 0
        page.close()

    @pytest.mark.parametrize("size", [SMALL, ZOOMED, PHONE], ids=["900x600", "200 percent", "phone"])
    def test_nothing_is_wider_than_a_small_window(
        self, cluster: FakeCluster, open_page: Open, size: tuple[int, int]
    ) -> None:
        furnish(cluster)
        page = open_page(size=size, language="es-PE")
        expect(page.locator("#rows tr")).to_have_count(7)
        for name in PAGES:
            visit(page, name)
            wide = page.evaluate(
                "document.querySelector('.content').scrollWidth - document.querySelector('.content').clientWidth"
            )
            assert wide <= 0, f"{name} is {wide} pixels too wide"

    def test_dark_and_light_are_two_looks(self, open_page: Open) -> None:
        look = "getComputedStyle(document.documentElement).backgroundColor"
        assert open_page(scheme="dark").evaluate(look) != open_page(scheme="light").evaluate(look)


class TestFiles:
    def test_dropped_files_and_folders_reach_the_cluster(
        self, cluster: FakeCluster, open_page: Open, tmp_path: Path
    ) -> None:
        folder = tmp_path / "photos"
        folder.mkdir()
        (folder / "one.png").write_bytes(b"one")
        (folder / "two.png").write_bytes(b"two")
        large = tmp_path / "large.bin"
        large.write_bytes(bytes(5_000_000))
        page = open_page()
        expect(page.locator("#link-state")).to_contain_text("Connected")
        drop(page, [folder, large])
        expect(page.locator("#rows tr")).to_have_count(3)
        expect(page.locator("#queue-sum")).to_have_text("3 done")
        assert {row["name"] for row in cluster.files.values()} == {
            "photos/one.png",
            "photos/two.png",
            "large.bin",
        }
        assert cluster.blobs[
            next(row["digest"] for row in cluster.files.values() if row["bytes"] > 100)
        ] == bytes(5_000_000)

    def test_a_drop_on_another_page_shares_too(
        self, cluster: FakeCluster, open_page: Open, tmp_path: Path
    ) -> None:
        path = tmp_path / "note.txt"
        path.write_text("note")
        page = open_page("cluster")
        drop(page, [path])
        expect(page.locator(".page-files #rows")).to_contain_text("note.txt")

    def test_chosen_files_wait_run_and_can_be_cancelled(
        self, cluster: FakeCluster, open_page: Open, tmp_path: Path
    ) -> None:
        cluster.upload_gate = threading.Event()
        paths = [tmp_path / f"{number}.bin" for number in range(5)]
        for path in paths:
            path.write_bytes(path.name.encode() * 400_000)
        page = open_page()
        page.locator("#chosen").set_input_files(paths)
        expect(page.locator("#queue-rows li")).to_have_count(5)
        expect(page.locator("#queue-sum")).to_contain_text("5 left")
        page.locator("[data-state=waiting] [data-queue=cancel]").first.click()
        expect(page.locator("[data-state=cancelled]")).to_have_count(1)
        cluster.upload_gate.set()
        expect(page.locator("#queue-sum")).to_contain_text("4 done")
        page.locator("[data-state=cancelled] [data-queue=retry]").click()
        expect(page.locator("#queue-sum")).to_contain_text("5 done")
        page.get_by_role("button", name="Clear the list").click()
        expect(page.locator("#queue")).to_be_hidden()

    def test_a_chosen_folder_keeps_its_names(
        self, cluster: FakeCluster, open_page: Open, tmp_path: Path
    ) -> None:
        for name in ("one.png", "deep/two.png", ".hidden/three.png"):
            path = tmp_path / "photos" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(name.encode())
        page = open_page()
        page.locator("#chosen-folder").set_input_files(tmp_path / "photos")
        expect(page.locator("#rows tr")).to_have_count(2)
        assert {row["name"] for row in cluster.files.values()} == {"photos/one.png", "photos/deep/two.png"}

    def test_all_transfers_are_cancelled_at_once(
        self, cluster: FakeCluster, open_page: Open, tmp_path: Path
    ) -> None:
        cluster.upload_gate = threading.Event()
        paths = [tmp_path / f"{number}.bin" for number in range(5)]
        for path in paths:
            path.write_bytes(path.name.encode() * 400_000)
        page = open_page()
        page.locator("#chosen").set_input_files(paths)
        expect(page.locator("#queue-sum")).to_contain_text("5 left")
        page.get_by_role("button", name="Cancel all").click()
        cluster.upload_gate.set()
        expect(page.locator("[data-state=cancelled]")).to_have_count(5)
        assert not cluster.files

    def test_the_list_is_searched_and_sorted(self, cluster: FakeCluster, open_page: Open) -> None:
        furnish(cluster)
        page = open_page()
        names = page.locator("#rows .file-name")
        expect(names).to_have_count(7)
        page.get_by_role("button", name="Size").click()
        expect(names.first).to_contain_text("seven.png")
        page.get_by_role("button", name="Size").click()
        expect(names.first).to_contain_text("train-images")
        expect(page.locator("[data-column=size]")).to_have_attribute("aria-sort", "descending")
        page.get_by_label("Search by name").fill("LABELS")
        expect(names).to_have_count(2)
        page.get_by_label("Search by name").fill("nothing like it")
        expect(page.locator("#nothing")).to_have_text("No file is called that.")

    def test_a_name_is_text_and_never_markup(self, cluster: FakeCluster, open_page: Open) -> None:
        name = '<img src=x onerror="document.title=1">.txt'
        cluster.put(name, b"x")
        page = open_page()
        expect(page.locator("#rows .file-name")).to_have_text(name)
        assert page.locator("#rows img").count() == 0

    def test_a_file_comes_back_as_it_was(self, cluster: FakeCluster, open_page: Open, tmp_path: Path) -> None:
        cluster.put("report.pdf", b"%PDF" * 1000)
        page = open_page()
        page.get_by_role("button", name="Download report.pdf").click()
        expect(page.locator("#queue-rows [data-state=done]")).to_contain_text("Saved to")
        assert (tmp_path / "saved" / "report.pdf").read_bytes() == b"%PDF" * 1000

    def test_a_deleted_file_can_be_taken_back_for_a_while(
        self, cluster: FakeCluster, open_page: Open
    ) -> None:
        cluster.put("keep.txt", b"keep")
        page = open_page()
        page.get_by_role("button", name="Delete keep.txt").click()
        expect(page.locator("#rows tr")).to_have_count(0)
        page.get_by_role("button", name="Undo").click()
        expect(page.locator("#rows tr")).to_have_count(1)
        assert cluster.files
        page.get_by_role("button", name="Delete keep.txt").press("Enter")
        expect(page.locator("#rows tr")).to_have_count(0)
        page.keyboard.press("Control+z")
        expect(page.locator("#rows tr")).to_have_count(1)
        page.clock.install()
        page.get_by_role("button", name="Delete keep.txt").click()
        page.clock.run_for(7000)
        until(lambda: not cluster.files)


class TestTryIt:
    def test_a_drawn_digit_is_answered_with_its_receipt(self, cluster: FakeCluster, open_page: Open) -> None:
        furnish(cluster)
        page = open_page("try")
        expect(page.locator("#model")).not_to_have_value("")
        draw_seven(page)
        expect(page.locator("#verdict .big")).to_have_text("7")
        expect(page.locator("[data-best=yes] .bar-share")).to_have_text("93.1%")
        expect(page.locator("#receipt")).to_contain_text("w1")
        until(lambda: 0.05 < inked(cluster.predicted[-1]) < 0.3)
        page.get_by_role("button", name="Clear").click()
        expect(page.locator("#verdict")).to_contain_text("appears here")

    def test_a_dropped_picture_is_asked_about_and_not_uploaded(
        self, cluster: FakeCluster, open_page: Open, tmp_path: Path
    ) -> None:
        furnish(cluster)
        files = len(cluster.files)
        picture = tmp_path / "digit.png"
        Image.new("L", (28, 28), 128).save(picture)
        page = open_page("try")
        expect(page.locator("#model")).not_to_have_value("")
        drop(page, [picture], "#pad")
        expect(page.locator("#verdict .big")).to_have_text("7")
        assert cluster.predicted == [picture.read_bytes()]
        assert len(cluster.files) == files

    @pytest.mark.parametrize("how", ["browser", "window"])
    def test_several_pictures_are_answered_one_by_one(
        self, bridge: Bridge, cluster: FakeCluster, open_page: Open, tmp_path: Path, how: str
    ) -> None:
        furnish(cluster)
        paths = [tmp_path / f"digit-{number}.png" for number in range(3)]
        for shade, path in enumerate(paths):
            Image.new("L", (28, 28), 90 + shade).save(path)
        page = open_page("try")
        expect(page.locator("#model")).not_to_have_value("")
        if how == "browser":
            drop(page, paths, "#pad")
        else:
            drop_on_window(page, bridge, paths)
        expect(page.locator("#pictures .thumb")).to_have_text(["7 · 93.1%"] * 3)
        page.get_by_title("digit-2.png").click()
        until(lambda: cluster.predicted[-1] == paths[2].read_bytes())
        page.get_by_role("button", name="Clear").click()
        expect(page.locator("#pictures")).to_be_hidden()

    def test_what_is_no_picture_is_said(self, cluster: FakeCluster, open_page: Open, tmp_path: Path) -> None:
        furnish(cluster)
        path = tmp_path / "notes.txt"
        path.write_text("no picture")
        page = open_page("try")
        drop(page, [path], "#pad")
        expect(page.locator("#toasts")).to_contain_text("notes.txt is not a picture")

    def test_a_lost_cluster_is_said_beside_the_drawing(self, cluster: FakeCluster, open_page: Open) -> None:
        furnish(cluster)
        page = open_page("try")
        expect(page.locator("#model")).not_to_have_value("")
        cluster.go_offline()
        draw_seven(page)
        expect(page.locator("#verdict")).to_contain_text("cannot be reached just now")

    def test_a_lost_cluster_does_not_move_the_pad(self, cluster: FakeCluster, open_page: Open) -> None:
        furnish(cluster)
        page = open_page("try")
        expect(page.locator("#model")).not_to_have_value("")
        before = page.locator("#pad").bounding_box()
        cluster.go_offline()
        expect(page.locator("#notice")).to_be_in_viewport()
        assert page.locator("#pad").bounding_box() == before


class TestClusterAndRecords:
    def test_the_crown_moves_with_the_leader(self, cluster: FakeCluster, open_page: Open) -> None:
        page = open_page("cluster")
        crowned = page.locator(".map-worker:has(.map-crown)")
        expect(crowned).to_contain_text("w1")
        cluster.down.add("w1")
        cluster.elect("w2")
        expect(crowned).to_contain_text("w2")
        expect(page.locator(".map-worker[data-role=offline]")).to_contain_text("w1")
        expect(page.locator("#link-state")).to_contain_text("2 of 3 workers")

    def test_a_row_from_before_the_election_wears_no_crown(
        self, cluster: FakeCluster, open_page: Open
    ) -> None:
        cluster.also_leads = "w3"
        page = open_page("cluster")
        expect(page.locator(".map-worker:has(.map-crown)")).to_have_count(1)
        expect(page.locator("#rows [data-role=leader]")).to_have_count(1)

    def test_records_arrive_while_one_looks(self, cluster: FakeCluster, open_page: Open) -> None:
        cluster.put("first.txt", b"1")
        page = open_page("records")
        expect(page.locator("#rows tr")).to_have_count(1)
        cluster.put("second.txt", b"2")
        expect(page.locator("#rows tr").first).to_contain_text("second.txt")
        page.get_by_label("Search").fill("first")
        expect(page.locator("#rows tr")).to_have_count(1)


def test_every_page_of_a_cluster_that_is_away_says_that_it_waits(
    absent: FakeCluster, open_page: Open
) -> None:
    page = open_page()
    for name in ("files", "datasets", "train", "models", "try", "cluster", "records"):
        visit(page, name)
        expect(page.locator(f".page-{name}")).to_contain_text("as soon as a worker answers")
        expect(page.locator(".page .skeleton")).to_have_count(0)
