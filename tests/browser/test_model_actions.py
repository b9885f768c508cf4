"""Evaluation, aliases and export on the models page, in a real Chromium, with a cluster that the test plays."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from backend.desktop.bridge import Bridge, DownloadsFolder
from backend.desktop.link import Target
from tests.browser.chromium import ARGUMENTS, CHROMIUM
from tests.browser.fake_cluster import FakeCluster, digest_of, furnish
from tests.browser.hands import visit
from tests.browser.waiting import until

pytestmark = pytest.mark.browser


@pytest.fixture
def cluster() -> FakeCluster:
    """With a trained model that takes every image for a 7, and a small test set of it."""
    cluster = FakeCluster()
    furnish(cluster)
    first = next(iter(cluster.models.values()))
    for role, array in (
        ("test_inputs", np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8)),
        ("test_outputs", np.array([7, 1, 7, 7])),
    ):
        file = io.BytesIO()
        np.save(file, array)
        first["sources"] |= {role: cluster.files[cluster.put(f"{role}.npy", file.getvalue())]}
    return cluster


@pytest.fixture
def page(cluster: FakeCluster, tmp_path: Path) -> Iterator[Page]:
    """The models page; it may have had no error, nor broken its own security policy."""
    target = Target((("127.0.0.1", 7400),), b"k" * 32)
    complaints: list[str] = []
    with (
        sync_playwright() as playwright,
        Bridge(
            lambda: target, lambda _target, _timeout: cluster, DownloadsFolder(tmp_path), look_every_s=0.1
        ) as bridge,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1180, "height": 1400}, locale="en-US")
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.goto(bridge.address)
        visit(page, f"models/{next(iter(cluster.models))}")
        yield page
        browser.close()
    assert complaints == []


def test_a_model_is_evaluated_on_its_test_set(page: Page, cluster: FakeCluster) -> None:
    actions = page.locator("#actions")
    expect(actions).to_contain_text("Nobody has compared it")
    for role in ("inputs", "outputs"):
        expect(actions.locator(f"[name={role}] option:checked")).to_contain_text(f"test_{role}.npy")
    actions.get_by_role("button", name="Evaluate").click()
    expect(actions.locator(".evaluation-head")).to_contain_text("75% of 4 right")
    expect(actions.locator("svg.confusion")).to_have_attribute("aria-label", re.compile("75% right"))
    expect(actions.locator("svg.confusion title", has_text="1 taken for 7: 1")).to_have_count(1)
    expect(actions.locator(".worst li")).to_have_count(1)
    picture = actions.locator(".worst img")
    expect(picture).to_have_attribute("alt", "Image 1: 1 taken for 7, 93.1% sure")
    assert picture.evaluate("image => image.naturalWidth") == 8
    page.reload()
    expect(actions.locator(".evaluation-head")).to_contain_text("index")
    expect(actions.locator(".worst li")).to_have_count(1)


def test_an_alias_is_promoted_and_rolled_back(page: Page, cluster: FakeCluster) -> None:
    first, second = cluster.models
    cluster.models[second] |= {"name": "digits", "status": "done"}
    actions = page.locator("#actions")
    for model in (first, second):
        visit(page, f"models/{model}")
        actions.locator("[name=alias]").fill("best")
        actions.get_by_role("button", name="Promote").click()
        expect(actions.locator("#aliases .chip")).to_have_text("digits@best")
    actions.get_by_role("button", name="Roll back").click()
    expect(actions.locator("#aliases .chip")).to_have_count(0)
    assert cluster.models[first]["aliases"] == ["digits@best"]


def test_a_model_is_taken_home(page: Page, cluster: FakeCluster, tmp_path: Path) -> None:
    weights = np.arange(6, dtype="<f4").tobytes()
    cluster.blobs[digest_of(weights)] = weights
    model = next(iter(cluster.models))
    cluster.models[model].update(digest=digest_of(weights), bytes=len(weights))
    page.locator("#actions").get_by_role("button", name="NPZ").click()
    until(lambda: (tmp_path / "digits.npz").exists())
    with np.load(tmp_path / "digits.npz") as arrays:
        assert json.loads(str(arrays["about"]))["model"] == model
    expect(page.locator(".toast")).to_contain_text("digits.npz")
