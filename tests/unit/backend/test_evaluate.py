"""`minka evaluate`: accuracy, confusion matrix and worst errors, as numbers and as a picture."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.evaluation import PICTURE_LABELS, RIGHT, Evaluation, draw, evaluate
from shared.errors import Refused
from tests.unit.backend.conftest import Ran, failed
from tests.unit.backend.fake_cluster import Asked, FakeCluster, Reply

Minka = Callable[..., Ran]
PROBABILITIES = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.01, 0.99], [0.7, 0.3]], np.float32)
KNOWN = ["a", "b", "a", "a", "c"]


def test_errors_are_counted_by_label_and_the_surest_come_first() -> None:
    found = evaluate(KNOWN, ["a", "b"], PROBABILITIES, worst=2)
    assert found.labels == ["a", "b", "c"]
    assert found.confusion.tolist() == [[1, 2, 0], [0, 1, 0], [1, 0, 0]]
    assert found.accuracy == pytest.approx(2 / 5)
    assert found.worst == [
        {"image": 3, "label": "a", "said": "b", "probability": 0.99},
        {"image": 4, "label": "c", "said": "a", "probability": 0.7},
    ]


def test_the_picture_shows_the_matrix_and_the_errors(tmp_path: Path) -> None:
    found = evaluate(KNOWN, ["a", "b"], PROBABILITIES, worst=3)
    images = np.full((5, 8, 8, 1), 7, np.uint8)
    draw(found, images, tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as picture:
        pixels = np.asarray(picture).reshape(-1, 3).astype(int)
    assert (pixels == 7).all(axis=1).sum() >= 3 * 64 * 64
    assert (np.abs(pixels - RIGHT).max(axis=1) < 70).any()
    many = Evaluation(
        [str(n) for n in range(PICTURE_LABELS + 1)], np.eye(PICTURE_LABELS + 1, dtype=np.int64), []
    )
    with pytest.raises(Refused, match="room"):
        draw(many, images, tmp_path / "many.png")
    with pytest.raises(Refused, match="cannot be written"):
        draw(found, images, tmp_path / "none" / "p.png")


def test_the_command_compares_with_what_the_cluster_says(
    minka: Minka, cluster: FakeCluster, tmp_path: Path
) -> None:
    def say(asked: Asked) -> Reply | None:
        receipt = {"model": "m1", "digest": "d" * 64, "term": 3, "index": 9, "worker": asked.worker.id}
        rows = [(0.25, 0.75) if pixels else (1.0, 0.0) for pixels in asked.body[::4]]
        return {**receipt, "labels": ["0", "1"]}, b"".join(struct.pack("<2f", *row) for row in rows)

    cluster.on("predict", say, times=100)
    labels = np.arange(1_200) % 2
    images = np.zeros((1_200, 2, 2), np.uint8)
    images[labels == 1] = 1
    images[:3] = 1
    np.save(tmp_path / "i.npy", images)
    np.save(tmp_path / "o.npy", labels)
    files = ("--inputs", tmp_path / "i.npy", "--outputs", tmp_path / "o.npy")
    ran = minka("evaluate", "m1", *files, "--picture", tmp_path / "p.png", "--json")
    assert ran.code == 0, ran.err
    expected = {"images": 1_200, "accuracy": 1_198 / 1_200, "labels": ["0", "1"]}
    assert ran.document.items() >= expected.items()
    assert ran.document["confusion"] == [[598, 2], [0, 600]]
    assert [error["image"] for error in ran.document["worst"]] == [0, 2]
    assert ran.document.keys() >= {"model", "digest", "term", "index", "worker"}
    assert (tmp_path / "p.png").exists()
    (noted,) = cluster.requests("evaluated")
    assert (noted.model, noted.evaluation.inputs, noted.evaluation.images) == ("m1", "i.npy", 1_200)
    assert noted.evaluation.confusion == ((598, 2), (0, 600))
    assert [wrong.image for wrong in noted.evaluation.worst] == [0, 2]
    assert ran.document["index"] >= 100
    assert "99.83 %" in minka("evaluate", "m1", *files).out
    np.save(tmp_path / "i.npy", images[:9])
    failed(minka("evaluate", "m1", *files), 1, "9 inputs and 1200 labels")
