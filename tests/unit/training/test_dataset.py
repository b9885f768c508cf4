"""The canonical data set: the same bytes every time, as drawn in its module, and never what is damaged."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Refused
from worker.training.dataset import SourceFile, channel_statistics, label_order, open_dataset, prepare

NAMES = ("inputs", "outputs", "test_inputs", "test_outputs")


def test_it_holds_what_was_given(
    prepared: tuple[Path, dict[str, Any]], sources: dict[str, SourceFile]
) -> None:
    path, facts = prepared
    dataset = open_dataset(path)
    assert (facts["examples"], facts["test_examples"], facts["bytes"]) == (1_000, 300, path.stat().st_size)
    assert (facts["input_shape"], facts["labels"]) == ([12, 12, 1], ["0", "1", "2", "3"])
    for part, prefix in ((dataset.training, ""), (dataset.test, "test_")):
        np.testing.assert_array_equal(part.inputs[..., 0], np.load(sources[f"{prefix}inputs"].path))
        np.testing.assert_array_equal(part.labels, np.load(sources[f"{prefix}outputs"].path))


def test_preparing_again_gives_the_same_bytes(
    prepared: tuple[Path, dict[str, Any]], sources: dict[str, SourceFile], tmp_path: Path
) -> None:
    again = prepare(*(sources[name] for name in NAMES), tmp_path / "again")
    assert again == prepared[1]
    assert (tmp_path / "again").read_bytes() == prepared[0].read_bytes()


def test_its_layout_is_the_drawn_one(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(3 * 2 * 2, dtype=np.uint8).reshape(3, 2, 2))
    np.save(tmp_path / "y.npy", np.array(["cat", "dog", "cat"]))
    x, y = SourceFile(tmp_path / "x.npy", "x"), SourceFile(tmp_path / "y.npy", "y")
    facts = prepare(x, y, None, None, tmp_path / "set", "plain")
    data = (tmp_path / "set").read_bytes()
    assert data[:12] == b"MINKADS\0" + bytes([1, 0, 0, 0])
    length = int.from_bytes(data[12:16], "little")
    assert json.loads(data[16 : 16 + length]) == {
        k: v for k, v in facts.items() if k not in ("digest", "bytes")
    }
    inputs = -(-(16 + length) // 64) * 64
    assert data[16 + length : inputs] == bytes(inputs - 16 - length)
    assert data[inputs : inputs + 64] == bytes(range(12)) + bytes(52)
    assert data[inputs + 64 :] == bytes([0, 0, 1, 0, 0, 0]) + bytes(58)
    assert facts["mean"] == [5.5]


def test_statistics_are_exact_per_channel() -> None:
    images = np.random.default_rng(3).integers(0, 256, (50, 4, 5, 3)).astype(np.uint8)
    images[..., 2] = 9
    mean, deviation = channel_statistics(images)
    np.testing.assert_allclose(mean, images.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(deviation[:2], images.std(axis=(0, 1, 2))[:2], rtol=1e-12)
    assert deviation[2] == 1.0


def test_labels_are_ordered_as_numbers_if_they_are() -> None:
    assert label_order(["10", "9", "-1", "9"], "y") == ["-1", "9", "10"]
    assert label_order(["10", "9", "x"], "y") == ["10", "9", "x"]
    with pytest.raises(Refused, match="1 different label"):
        label_order(["a", "a"], "y")


def test_what_does_not_fit_together_is_refused(sources: dict[str, SourceFile], tmp_path: Path) -> None:
    few = tmp_path / "few.npy"
    np.save(few, np.zeros(999, np.uint8))
    with pytest.raises(Refused, match=r"1000 inputs but 999 outputs in 'few\.npy'"):
        prepare(sources["inputs"], SourceFile(few, "few.npy"), None, None, tmp_path / "set")
    strange = tmp_path / "strange.npy"
    np.save(strange, np.full(300, 7))
    with pytest.raises(Refused, match="label '7', which no training example has"):
        prepare(
            sources["inputs"],
            sources["outputs"],
            sources["test_inputs"],
            SourceFile(strange, "s"),
            tmp_path / "set",
        )
    with pytest.raises(Refused, match="only one of the test"):
        prepare(sources["inputs"], sources["outputs"], sources["test_inputs"], None, tmp_path / "set")
    assert not (tmp_path / "set").exists()


@given(data=st.binary(max_size=200))
def test_garbage_is_refused(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage"
    for prefix in (b"", b"MINKADS\0\1\0\0\0", b"MINKADS\0\1\0\0\0\2\0\0\0{}"):
        path.write_bytes(prefix + data)
        with pytest.raises(Refused):
            open_dataset(path)


def test_a_cut_file_is_refused(prepared: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    whole = prepared[0].read_bytes()
    for kept in (0, 15, 40, len(whole) // 2, len(whole) - 600):
        (tmp_path / "cut").write_bytes(whole[:kept])
        with pytest.raises(Refused):
            open_dataset(tmp_path / "cut")
    with pytest.raises(Refused, match="cannot be opened"):
        open_dataset(tmp_path / "absent")
