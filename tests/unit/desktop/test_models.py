"""What the page does with trained models: evaluation, aliases, export."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backend.desktop.bridge import Bridge
from tests.browser.fake_cluster import FakeCluster, digest_of, furnish
from tests.browser.waiting import until
from tests.unit.desktop.conftest import FolderChooser, PageClient


@pytest.fixture
def model(cluster: FakeCluster) -> str:
    """One that takes every image for a 7."""
    furnish(cluster)
    return next(iter(cluster.models))


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


IMAGES = np.stack([np.full((8, 6), 10 * number, np.uint8) for number in range(4)])


class TestEvaluation:
    def test_files_of_the_cluster_are_compared_and_kept_with_the_model(
        self, page: PageClient, cluster: FakeCluster, model: str
    ) -> None:
        inputs = cluster.put("images/test.npy", npy(IMAGES))
        outputs = cluster.put("labels/test.npy", npy(np.array([7, 1, 7, 7])))
        until(lambda: len(page.ask("GET", "/api/files")["files"] or ()) == len(cluster.files))
        asked = {"inputs": inputs, "outputs": outputs}
        told = page.ask("POST", f"/api/models/{model}/evaluate", asked)
        assert (told["accuracy"], told["images"], told["inputs"]) == (0.75, 4, "test.npy")
        assert told["confusion"][1][7] == 1
        (error,) = told["worst"]
        assert (error["image"], error["label"], error["said"]) == (1, "1", "7")
        picture = error["picture"].removeprefix("data:image/png;base64,")
        with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
            assert np.array_equal(np.asarray(image), IMAGES[1])
        kept = page.ask("GET", f"/api/models/{model}")["evaluation"]
        assert (kept["accuracy"], kept["index"]) == (0.75, told["index"])
        until(lambda: page.ask("GET", "/api/models")["models"][0]["evaluation"] == kept)

    def test_files_of_this_computer_are_too(
        self, page: PageClient, bridge: Bridge, model: str, tmp_path: Path
    ) -> None:
        (tmp_path / "i.npy").write_bytes(npy(IMAGES))
        (tmp_path / "o.npy").write_bytes(npy(np.array([7, 7, 7, 7])))
        offers = bridge.handles.offer([tmp_path / "i.npy", tmp_path / "o.npy"])
        inputs, outputs = (offer.handle for offer in offers)
        told = page.ask("POST", f"/api/models/{model}/evaluate", {"inputs": inputs, "outputs": outputs})
        assert (told["accuracy"], told["worst"]) == (1.0, [])

    @pytest.mark.parametrize("wanted", [10**6, None, "no handle", [1]])
    def test_files_that_are_not_there_are_refused(self, page: PageClient, model: str, wanted: Any) -> None:
        asked = {"inputs": wanted, "outputs": wanted}
        assert page.refused("POST", f"/api/models/{model}/evaluate", asked)[0] == 422


class TestAliases:
    def test_an_alias_is_promoted_and_rolled_back(
        self, page: PageClient, cluster: FakeCluster, model: str
    ) -> None:
        second = list(cluster.models)[1]
        cluster.models[second]["name"] = "digits"
        alias = {"alias": "best"}
        assert page.ask("POST", f"/api/models/{model}/promote", alias)["before"] is None
        told = page.ask("POST", f"/api/models/{second}/promote", alias)
        assert told == {"alias": "digits@best", "model": second, "before": model}
        back = page.ask("POST", "/api/aliases/roll_back", {"alias": "digits@best"})
        assert back == {"alias": "digits@best", "model": model, "before": second}
        until(lambda: page.ask("GET", "/api/models")["models"][0]["aliases"] == ["digits@best"])
        assert page.refused("POST", f"/api/models/{model}/promote", {})[0] == 422
        assert page.refused("POST", "/api/aliases/roll_back", {"alias": 5})[0] == 422


class TestExport:
    def test_the_weights_go_where_the_person_says(
        self, page: PageClient, cluster: FakeCluster, chooser: FolderChooser, model: str, tmp_path: Path
    ) -> None:
        weights = np.arange(6, dtype="<f4")
        cluster.blobs[digest_of(weights.tobytes())] = weights.tobytes()
        cluster.models[model].update(digest=digest_of(weights.tobytes()), bytes=weights.nbytes, name="a/b")
        told = page.ask("POST", f"/api/models/{model}/export", {})
        assert told["path"] == str(tmp_path / "a-b.npz")
        with np.load(tmp_path / "a-b.npz") as arrays:
            assert np.array_equal(arrays["parameters"], weights)
            assert json.loads(str(arrays["about"]))["model"] == model
        assert page.refused("POST", f"/api/models/{model}/export", {"format": "zip"})[0] == 422
        chooser.declines = True
        assert page.ask("POST", f"/api/models/{model}/export", {}) == {"path": None}
