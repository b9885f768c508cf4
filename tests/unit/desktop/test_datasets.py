"""Data sets and settings over HTTP, as the page asks for them."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.desktop.bridge import Bridge
from backend.desktop.choices import ChoiceFile
from backend.desktop.finder import ClusterFinder
from backend.desktop.gallery import SIDE, look
from shared.errors import Refused
from tests.browser.fake_cluster import FakeCluster, digest_of
from tests.browser.waiting import until
from tests.unit.desktop.conftest import PageClient

SAMPLES = Path(__file__).parents[3] / "packaging" / "samples"
KEY = "ab" * 32


def image(side: int = 28, shade: int = 200) -> bytes:
    file = io.BytesIO()
    Image.new("L", (side, side), shade).save(file, "PNG")
    return file.getvalue()


class TestDataSets:
    def test_an_example_is_added_and_seen(self, page: PageClient, cluster: FakeCluster) -> None:
        page.until_online()
        for label, shade in (("7", 10), ("3", 20), ("7", 30)):
            added = page.ask(
                "POST", "/api/datasets/examples", image(shade=shade), dataset="ñandú", label=label
            )
        assert added == {"record": 3, "index": cluster.index}
        until(lambda: [row["examples"] for row in page.ask("GET", "/api/datasets")["datasets"]] == [3])
        one = page.ask("GET", "/api/datasets/one", dataset="ñandú")
        assert one["labels"] == {"7": 2, "3": 1}
        found = page.ask("GET", "/api/datasets/examples", dataset="ñandú")
        assert [row["label"] for row in found["examples"]] == ["7", "3", "7"]
        newest = found["examples"][0]
        older = page.ask("GET", "/api/datasets/examples", dataset="ñandú", before=newest["id"], label="7")
        assert [row["id"] for row in older["examples"]] == [found["examples"][2]["id"]]
        status, headers, picture = page.send(
            "GET", f"/api/pictures/{newest['digest']}", bytes=newest["bytes"]
        )
        assert (status, headers["Content-Type"]) == (200, "image/png")
        assert Image.open(io.BytesIO(picture)).size == (28, 28)

    def test_a_large_image_is_shown_small(self, page: PageClient, cluster: FakeCluster) -> None:
        data = image(side=500)
        cluster.put("large.png", data)
        _, _, picture = page.send("GET", f"/api/pictures/{digest_of(data)}", bytes=len(data))
        assert Image.open(io.BytesIO(picture)).size == (SIDE, SIDE)

    def test_what_is_no_image_or_no_name_is_refused_before_anything_is_sent(
        self, page: PageClient, cluster: FakeCluster
    ) -> None:
        for body, dataset in ((b"text", "a"), (b"", "a"), (image(), " ")):
            assert page.refused("POST", "/api/datasets/examples", body, dataset=dataset, label="1")[0] == 422
        assert not cluster.datasets
        assert page.refused("GET", "/api/datasets/one", dataset="none")[1]["code"] == "refused"
        assert page.send("GET", "/api/pictures/ABC")[0] == 404

    def test_a_file_is_looked_into(self, page: PageClient, cluster: FakeCluster) -> None:
        name = "mnist-test-images.idx.gz"
        data = (SAMPLES / name).read_bytes()
        id = cluster.put(name, data)
        until(lambda: page.ask("GET", "/api/files")["files"])
        seen = page.ask("GET", f"/api/files/{id}/look")
        assert (seen["count"], seen["shape"], seen["labels"]) == (1000, [28, 28, 1], {})
        assert seen["pictures"][0].startswith("data:image/png;base64,")
        assert page.refused("GET", "/api/files/999/look")[0] == 422


class TestLookingIntoFiles:
    def test_labels_are_counted_in_the_order_of_numbers(self, tmp_path: Path) -> None:
        path = tmp_path / "y.npy"
        np.save(path, np.array([10, 9, 10, 2]))
        seen = look(path, "y.npy")
        assert (seen["count"], list(seen["labels"].items())) == (4, [("2", 1), ("9", 1), ("10", 2)])

    def test_a_folder_packed_by_class_has_both(self, tmp_path: Path) -> None:
        import zipfile

        path = tmp_path / "pets.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("cat/1.png", image())
            archive.writestr("dog/1.png", image())
        seen = look(path, "pets.zip")
        assert (seen["count"], seen["labels"], len(seen["pictures"])) == (2, {"cat": 1, "dog": 1}, 2)

    def test_what_is_no_data_set_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "notes.txt"
        path.write_bytes(b"\x00\x01 nothing")
        with pytest.raises(Refused):
            look(path, "notes.txt")


class TestSettings:
    def test_the_look_is_kept_and_opens_the_next_window(self, cluster: FakeCluster, tmp_path: Path) -> None:
        path = tmp_path / "desktop.json"
        finder = ClusterFinder(lambda: (None, None), ChoiceFile(None), local=lambda: None)
        with Bridge(finder, lambda _target, _timeout: cluster, choices=ChoiceFile(path)) as bridge:
            page = PageClient(bridge)
            assert page.ask("GET", "/api/settings")["theme"] == ""
            page.ask("PUT", "/api/settings/look", {"theme": "dark", "language": "es"})
            assert page.refused("PUT", "/api/settings/look", {"theme": "pink"})[0] == 422
            assert page.refused("PUT", "/api/settings/look", {"theme": 5})[0] == 422
        with Bridge(finder, lambda _target, _timeout: cluster, choices=ChoiceFile(path)) as bridge:
            assert bridge.address.endswith("&language=es&theme=dark")

    def test_a_cluster_is_chosen_once_and_forgotten(self, cluster: FakeCluster) -> None:
        finder = ClusterFinder(lambda: (None, None), choices := ChoiceFile(None), local=lambda: None)
        with Bridge(finder, lambda _target, _timeout: cluster, choices=choices, look_every_s=0.05) as bridge:
            page = PageClient(bridge)
            page.until_state("unset")
            asked = {"addresses": "10.0.0.1:7400", "key": json.dumps({"client": KEY})}
            told = page.ask("PUT", "/api/settings/cluster", asked)["cluster"]
            page.until_online()
            assert told["addresses"] == "10.0.0.1:7400"
            assert KEY not in json.dumps(page.ask("GET", "/api/settings")), "the key itself stays here"
            assert page.refused("PUT", "/api/settings/cluster", {"addresses": 5})[0] == 422
            page.ask("DELETE", "/api/settings/cluster")
            page.until_state("unset")

    def test_a_window_that_was_opened_for_one_cluster_says_so(self, page: PageClient) -> None:
        assert page.ask("GET", "/api/settings")["cluster"]["source"] == "named"
        assert page.ask("GET", "/api/nearby") == {"clusters": []}
        assert page.refused("DELETE", "/api/settings/cluster")[1]["reason"].startswith(
            "This window was opened"
        )


class TestFoldersOfImages:
    def test_a_folder_of_the_window_becomes_one_file(
        self, page: PageClient, bridge: Bridge, cluster: FakeCluster, tmp_path: Path
    ) -> None:
        import zipfile

        folder = tmp_path / "pets"
        for name in ("dog/2.png", "cat/1.PNG", "cat/.hidden.png", "notes.txt"):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image())
        (offer,) = bridge.handles.offer([folder])
        told = page.ask("POST", "/api/archives/handles", {"handle": offer.handle})
        row = page.until_ended(told["transfer"]["id"])
        assert (told["images"], row["state"], row["name"]) == (2, "done", "pets.zip")
        (held,) = cluster.files.values()
        with zipfile.ZipFile(io.BytesIO(cluster.blobs[held["digest"]])) as archive:
            assert archive.namelist() == ["cat/1.PNG", "dog/2.png"]

    def test_a_folder_of_a_browser_is_sent_image_by_image(
        self, page: PageClient, cluster: FakeCluster
    ) -> None:
        number = page.ask("POST", "/api/archives", name="pets.zip")["archive"]
        for path in ("cat/1.png", "dog/2.png"):
            page.ask("POST", f"/api/archives/{number}", image(), path=path)
        for path in ("../1.png", "/1.png", "a.txt", "", "x" * 1000 + "/1.png"):
            assert page.refused("POST", f"/api/archives/{number}", image(), path=path)[0] == 422
        told = page.ask("POST", f"/api/archives/{number}/finish", b"")
        assert page.until_ended(told["transfer"]["id"])["state"] == "done"
        assert page.refused("POST", f"/api/archives/{number}", image(), path="1.png")[0] == 422
        assert [row["name"] for row in cluster.files.values()] == ["pets.zip"]

    def test_a_folder_without_images_is_refused(
        self, page: PageClient, bridge: Bridge, tmp_path: Path
    ) -> None:
        (tmp_path / "empty").mkdir()
        (offer,) = bridge.handles.offer([tmp_path / "empty"])
        refusal = page.refused("POST", "/api/archives/handles", {"handle": offer.handle})[1]
        assert refusal["reason"] == "There are no images in 'empty'."
        number = page.ask("POST", "/api/archives", name="none.zip")["archive"]
        assert page.refused("POST", f"/api/archives/{number}/finish", b"")[0] == 422

    def test_archives_that_pages_have_left_make_room_for_others(self, page: PageClient) -> None:
        numbers = [page.ask("POST", "/api/archives", name="a.zip")["archive"] for _ in range(9)]
        assert page.refused("POST", f"/api/archives/{numbers[0]}", image(), path="1.png")[0] == 422
        page.ask("POST", f"/api/archives/{numbers[-1]}", image(), path="1.png")
