"""Training in the page: what is chosen, what is seen meanwhile, and what two models have reached."""

import dataclasses
from pathlib import Path

import pytest
from playwright.sync_api import expect

from backend.desktop.bridge import Bridge
from shared.messages import TrainSpec
from tests.browser.conftest import Open
from tests.browser.fake_cluster import FakeCluster, furnish, picture
from tests.browser.hands import drop, drop_on_window, visit
from tests.browser.waiting import until

pytestmark = pytest.mark.browser


class TestTraining:
    def test_data_falls_into_place_and_training_is_watched(
        self, cluster: FakeCluster, open_page: Open
    ) -> None:
        furnish(cluster)
        cluster.models.clear()
        page = open_page("train")
        for role, name in (
            ("inputs", "train-images"),
            ("outputs", "train-labels"),
            ("test_inputs", "t10k-images"),
        ):
            expect(page.locator(f"[name={role}] option:checked")).to_contain_text(name)
        page.get_by_label("Name", exact=False).last.fill("first try")
        page.get_by_role("button", name="Start training").click()
        expect(page.locator("#progress")).to_contain_text("Queued")
        (model,) = cluster.models
        cluster.train_round(model, 0.8, 0.85)
        cluster.train_round(model, 0.4, 0.93)
        expect(page.locator("#progress .chart")).to_have_attribute(
            "aria-label", "Loss 0.4, test accuracy 93% after round 2"
        )
        expect(page.locator("#menu .pulse")).to_be_visible()
        page.get_by_role("button", name="Stop training").click()
        expect(page.locator("#progress")).to_contain_text("Stopped")
        assert cluster.models[model]["status"] == "cancelled"

    def test_what_is_missing_is_said_before_anything_is_sent(
        self, cluster: FakeCluster, open_page: Open
    ) -> None:
        cluster.put("notes.txt", b"notes")
        page = open_page("train")
        page.get_by_role("button", name="Start training").click()
        expect(page.locator("#problem")).to_have_text("Choose the images and their labels first.")
        assert not cluster.models

    def test_without_files_it_shows_the_way(self, open_page: Open) -> None:
        page = open_page("train")
        page.get_by_role("link", name="Add files").click()
        expect(page.locator(".page-files")).to_be_visible()

    def test_a_failed_training_says_why(self, cluster: FakeCluster, open_page: Open) -> None:
        furnish(cluster)
        model = list(cluster.models)[1]
        cluster.fail(model, "60000 images and 10000 labels.")
        page = open_page(f"models/{model}")
        expect(page.locator("#details")).to_contain_text("60000 images and 10000 labels.")
        page.get_by_text("Where in the program").click()
        expect(page.locator("#details pre")).to_contain_text("Traceback")

    def test_each_worker_s_share_of_the_work_is_seen(self, cluster: FakeCluster, open_page: Open) -> None:
        furnish(cluster)
        page = open_page("train")
        shares = page.locator(".work li")
        expect(shares).to_have_count(3)
        expect(shares.first).to_contain_text("w1")
        expect(shares.first).to_contain_text("41.7%")
        model = list(cluster.models)[1]
        cluster.models[model]["work"] = None
        cluster.finish(model)
        expect(page.locator("#progress .badge")).to_have_text("Ready")
        expect(shares).to_have_count(3)

    def test_an_architecture_of_one_s_own_and_all_options_go_into_the_spec(
        self, cluster: FakeCluster, open_page: Open
    ) -> None:
        furnish(cluster)
        page = open_page("train")
        expect(page.locator("[name=outputs] option:checked")).to_contain_text("train-labels")
        page.get_by_text("My own").click()
        page.get_by_role("button", name="Start training").click()
        expect(page.locator("#problem")).to_contain_text("Write the layers first")
        page.get_by_role("button", name="dense 256, dropout 0.3, dense").click()
        page.get_by_text("More choices").click()
        page.locator("[name=momentum]").fill("3")
        page.get_by_role("button", name="Start training").click()
        expect(page.locator("#problem")).to_have_text("Momentum: give a number from 0 to 0.999.")
        page.locator("[name=momentum]").fill("0.8")
        page.locator("[name=schedule]").select_option("constant")
        page.locator("[name=optimiser]").select_option("nesterov")
        page.locator("[name=epochs]").fill("7")
        page.locator("[name=rotation]").fill("12.5")
        page.get_by_role("button", name="Start training").click()
        until(lambda: len(cluster.specs) == 3)
        spec = cluster.specs[-1]
        assert (spec.arch, spec.epochs, spec.optimiser) == ("dense 256, dropout 0.3, dense", 7, "nesterov")
        assert (spec.momentum, spec.schedule, spec.rotation) == (0.8, "constant", 12.5)
        assert (spec.lr, spec.batch, spec.shards) == (None, None, None), "what is left out is the cluster's"

    def test_every_field_of_a_spec_can_be_chosen(self, cluster: FakeCluster, open_page: Open) -> None:
        furnish(cluster)
        page = open_page("train")
        expect(page.locator("[name=inputs]")).to_be_attached()
        offered = page.evaluate("[...document.querySelector('#form').elements].map(each => each.name)")
        assert {field.name for field in dataclasses.fields(TrainSpec)} <= set(offered)

    @pytest.mark.parametrize("how", ["browser", "window"])
    def test_a_folder_of_images_by_class_is_packed_and_chosen(
        self, bridge: Bridge, cluster: FakeCluster, open_page: Open, tmp_path: Path, how: str
    ) -> None:
        for name in ("cat/1.png", "dog/2.png", "notes.txt"):
            path = tmp_path / "pets" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture(9))
        page = open_page("train")
        expect(page.locator("#link-state")).to_contain_text("Connected")
        if how == "browser":
            drop(page, [tmp_path / "pets"])
        else:
            drop_on_window(page, bridge, [tmp_path / "pets"])
        expect(page.locator("[name=inputs] option:checked")).to_contain_text("pets.zip")
        expect(page.locator("[name=outputs] option:checked")).to_have_text("In the same place as the images")
        page.get_by_role("button", name="Start training").click()
        until(lambda: cluster.specs)
        (file,) = cluster.files
        assert (cluster.specs[0].inputs, cluster.specs[0].outputs) == (file, file)

    def test_one_of_several_that_run_is_picked(self, cluster: FakeCluster, open_page: Open) -> None:
        furnish(cluster)
        page = open_page("train")
        expect(page.locator("#progress h2")).to_have_text("digits, longer")
        page.get_by_role("button", name="Start training").click()
        expect(page.locator("#running .chip")).to_have_count(2)
        page.locator("#running").get_by_role("button", name="digits, longer").click()
        expect(page.locator("#progress h2")).to_have_text("digits, longer")
        expect(page.locator("#running [aria-pressed=true]")).to_contain_text("digits, longer")


class TestModels:
    def test_two_are_compared(self, cluster: FakeCluster, open_page: Open) -> None:
        furnish(cluster)
        first, second = cluster.models
        cluster.finish(second)
        cluster.models[second]["spec"]["batch"] = 32
        page = open_page(f"models/{first}")
        page.locator("#compare-with").select_option(second)
        table = page.locator(".compare-table")
        expect(table.locator("tr", has_text="Accuracy")).to_contain_text("better")
        expect(table.locator("tr", has_text="batch")).to_contain_text("32")
        expect(table.locator("tr", has_text="seed")).to_have_count(0)
        expect(page.locator("#compare .chart")).to_have_attribute(
            "aria-label", "Test accuracy at the end: 97.8% and 97.3%"
        )

    def test_a_new_choice_on_the_left_is_compared_with_the_same(
        self, cluster: FakeCluster, open_page: Open
    ) -> None:
        furnish(cluster)
        first, second = cluster.models
        cluster.finish(second)
        page = open_page(f"models/{first}")
        expect(page.locator("#compare-with option")).to_have_count(2)
        visit(page, f"models/{second}")
        expect(page.locator("#compare-with option").last).to_contain_text(first)
