"""Data sets in the page: seen, looked into, and made larger by hand."""

import io
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from backend.desktop.bridge import Bridge
from tests.browser.conftest import Open
from tests.browser.fake_cluster import FakeCluster, furnish, picture
from tests.browser.hands import draw_seven, drop, drop_on_window, visit
from tests.browser.waiting import until

pytestmark = pytest.mark.browser

SAMPLES = Path(__file__).parents[2] / "packaging" / "samples"


def images(tmp_path: Path, count: int) -> list[Path]:
    paths = [tmp_path / f"{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(picture(100 + number))
    return paths


def test_a_drawn_example_begins_a_data_set(cluster: FakeCluster, open_page: Open) -> None:
    page = open_page("datasets")
    expect(page.locator("#no-growing")).to_contain_text("the first example begins one")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#add-problem")).to_have_text("Draw something first, or drop a picture.")
    draw_seven(page)
    page.locator("[name=dataset]").fill("our digits")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#add-problem")).to_have_text("Say what it shows.")
    page.locator("[name=label]").fill("7")
    page.keyboard.press("Enter")
    expect(page.locator("#inside h2")).to_have_text("our digits")
    expect(page.locator("#class-bars li")).to_have_count(1)
    (row,) = cluster.datasets["our digits"]
    assert row["label"] == "7"
    assert Image.open(io.BytesIO(cluster.blobs[row["digest"]])).size == (336, 336)


def test_pictures_that_are_dropped_are_added_with_one_label(
    cluster: FakeCluster, open_page: Open, tmp_path: Path
) -> None:
    furnish(cluster)
    before = len(cluster.datasets["digits"])
    page = open_page("datasets/digits")
    expect(page.locator("#label-chips .chip")).to_have_count(3)
    notes = tmp_path / "notes.txt"
    notes.write_text("no picture")
    drop(page, [*images(tmp_path, 3), notes], "#pad")
    expect(page.locator("#toasts")).to_contain_text("notes.txt is not a picture")
    expect(page.locator("#tray")).to_have_text("3 pictures wait for their label")
    page.locator("#label-chips").get_by_role("button", name="2").click()
    page.get_by_role("button", name="Add 3 pictures").click()
    expect(page.locator("#toasts")).to_contain_text("2 is in digits")
    until(lambda: len(cluster.datasets["digits"]) == before + 3)
    assert [row["label"] for row in cluster.datasets["digits"][-3:]] == ["2", "2", "2"]
    assert not [row for row in cluster.files.values() if row["name"] == "0.png"], (
        "nothing is shared as a file"
    )


def test_pictures_that_are_dropped_on_the_window_are_too(
    bridge: Bridge, cluster: FakeCluster, open_page: Open, tmp_path: Path
) -> None:
    furnish(cluster)
    page = open_page("datasets/digits")
    expect(page.locator("#label-chips .chip")).to_have_count(3)
    drop_on_window(page, bridge, images(tmp_path, 2))
    page.locator("[name=label]").fill("5")
    page.get_by_role("button", name="Add 2 pictures").click()
    until(lambda: [row["label"] for row in cluster.datasets["digits"]][-2:] == ["5", "5"])


def test_what_is_refused_stays_to_be_mended(cluster: FakeCluster, open_page: Open, tmp_path: Path) -> None:
    furnish(cluster)
    page = open_page("datasets/digits")
    drop(page, images(tmp_path, 2), "#pad")
    page.locator("[name=label]").fill("a/b")
    page.get_by_role("button", name="Add 2 pictures").click()
    expect(page.locator("#add-problem")).to_contain_text("is no label")
    page.locator("[name=label]").fill("ab")
    page.get_by_role("button", name="Add 2 pictures").click()
    until(lambda: [row["label"] for row in cluster.datasets["digits"]][-2:] == ["ab", "ab"])


def test_examples_are_seen_as_they_come_and_by_class(cluster: FakeCluster, open_page: Open) -> None:
    furnish(cluster)
    page = open_page("datasets/digits")
    thumbs = page.locator("#thumbs li")
    expect(thumbs).to_have_count(12)
    expect(page.locator("#thumbs img[src^=blob]")).to_have_count(12)
    page.get_by_title("Show only 1").click()
    expect(thumbs).to_have_count(4)
    page.get_by_role("button", name="Show all").click()
    cluster.add_example("digits", "9", picture(5))
    expect(thumbs).to_have_count(13)
    expect(thumbs.first).to_have_text("9")
    expect(page.locator("#class-bars li")).to_have_count(4)


def test_a_file_of_images_and_one_of_labels_are_looked_into(cluster: FakeCluster, open_page: Open) -> None:
    for name in ("mnist-test-images.idx.gz", "mnist-test-labels.idx.gz"):
        cluster.put(name, (SAMPLES / name).read_bytes())
    page = open_page("datasets")
    page.get_by_role("link", name="mnist-test-images").click()
    expect(page.locator("#inside .thumbs img")).to_have_count(48)
    expect(page.locator("#inside")).to_contain_text("1,000 examples · 28 × 28 pixels")
    page.get_by_role("link", name="mnist-test-labels").click()
    expect(page.locator("#class-bars li")).to_have_count(10)


def test_a_file_that_is_no_data_set_says_so(cluster: FakeCluster, open_page: Open) -> None:
    id = cluster.put("broken.npz", bytes(range(64)))
    page = open_page(f"datasets/file:{id}")
    expect(page.locator("#inside")).to_contain_text("no data set that can be shown here")


def test_a_data_set_is_trained_on(cluster: FakeCluster, open_page: Open) -> None:
    furnish(cluster)
    page = open_page("datasets/digits")
    page.get_by_role("link", name="Train on it").click()
    expect(page.locator("[name=inputs] option:checked")).to_contain_text("digits · 12 examples")
    expect(page.locator("[name=outputs] option:checked")).to_have_text("In the same place as the images")
    visit(page, "files")
    visit(page, "train")
    expect(page.locator("[name=inputs] option:checked")).to_contain_text("digits · 12 examples")
