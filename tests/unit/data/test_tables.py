"""Tables and texts: what is one, what is images, and what a person must put right."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Refused
from shared.tables import (
    TEXT_COLUMNS,
    VectorForm,
    load_outputs_as,
    load_targets,
    load_texts,
    load_vectors,
    text_vectors,
)


def written(folder: Path, content: bytes | np.ndarray) -> Path:
    path = folder / "file"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with path.open("wb") as file:
            np.save(file, content)
    return path


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"0,0\n0,1\n1,0\n1,1\n", [[0, 0], [0, 1], [1, 0], [1, 1]]),
        (b"height,weight,label\n1.5,-2,a\n3,4e3,b\n", [[1.5, -2], [3, 4000]]),
        (b"5\n6\n", [[5], [6]]),
        (np.array([[1.5, 2], [3, 4]]), [[1.5, 2], [3, 4]]),
        (np.array([[True, False]]), [[1, 0]]),
        (np.full((2, 16), -1), np.full((2, 16), -1.0).tolist()),
    ],
)
def test_a_table_is_read(content: bytes | np.ndarray, expected: list[list[float]], tmp_path: Path) -> None:
    found = load_vectors(written(tmp_path, content), "file")
    assert found is not None
    assert found[0].dtype == np.float32
    assert found[0].tolist() == expected
    assert found[1] == VectorForm(len(expected[0]), "table")


@pytest.mark.parametrize(
    "content",
    [
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((3, 16), np.uint8),
        np.full((3, 784), 0.5),
        (",".join(["7"] * 16) + "\n").encode(),
    ],
)
def test_what_could_be_images_is_images(content: bytes | np.ndarray, tmp_path: Path) -> None:
    assert load_vectors(written(tmp_path, content), "file") is None


@pytest.mark.parametrize(
    "content",
    [
        b'text,label\n"Good, very good",+\nbad,-\n',
        b'label,text\n+,"Good, very good"\n-,bad\n',
        b'message,id,label\n"Good, very good",1,+\nbad,2,-\n',
        b'"Good, very good"\nbad\n',
        np.array(["Good, very good", "bad"]),
    ],
)
def test_texts_are_read(content: bytes | np.ndarray, tmp_path: Path) -> None:
    path = written(tmp_path, content)
    found = load_vectors(path, "file")
    assert found is not None
    assert found[1] == VectorForm(TEXT_COLUMNS, "text")
    assert load_texts(path, "file") == ["Good, very good", "bad"]
    np.testing.assert_array_equal(found[0], text_vectors(["Good, very good", "bad"]))


def test_a_text_is_its_words_whatever_their_case_and_marks() -> None:
    one, same, near, far = text_vectors(["Very GOOD!", "very   good", "very goods", "quite terrible"])
    np.testing.assert_array_equal(one, same)
    assert one @ near > 0.7 > 0.3 > one @ far
    assert not text_vectors(["", "!?"]).any()


@given(texts=st.lists(st.text(max_size=60), max_size=5))
def test_any_text_becomes_a_vector_of_length_at_most_1(texts: list[str]) -> None:
    vectors = text_vectors(texts)
    assert vectors.shape == (len(texts), TEXT_COLUMNS)
    assert (np.square(vectors).sum(axis=1) <= 1.0001).all()


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"1,2\n3\n", "line 2 .* 1 columns, the first has 2"),
        (b"1,2\n3,x\n", "line 2 .* not numbers"),
        (b"1,2\n3,nan\n", "row 2, column 2 .* no finite number"),
        (np.array([[1.0, np.inf]]), "row 1, column 2"),
        (np.array([[1e300]]), "row 1, column 1"),
        (b"one,two\nthree,four\n", "2 columns that are not numbers"),
        (np.zeros((2, 0)), "Give a table"),
        (np.array([["a", "b"]]), "Give a table"),
        (np.array(["x" * 100_001]), "100,001 characters"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(
    content: bytes | np.ndarray, match: str, tmp_path: Path
) -> None:
    with pytest.raises(Refused, match=match) as refusal:
        load_vectors(written(tmp_path, content), "file")
    assert refusal.value.advice


@pytest.mark.parametrize(
    ("content", "loss", "expected"),
    [
        (b"0\n1\n1\n", None, ("cross-entropy", ["0", "1", "1"])),
        (b"0.5\n1\n", "auto", ("squared", [[0.5], [1]])),
        (b"0.5\n1\n", "cross-entropy", ("cross-entropy", ["0.5", "1"])),
        (b"0\n1\n", "squared", ("squared", [[0], [1]])),
        (b"cat\n1.5\n", None, ("cross-entropy", ["cat", "1.5"])),
        (b"x,label\nfoo,1.5\nbar,2\n", None, ("squared", [[1.5], [2]])),
        (np.array([[0.5, 1], [2, 3]]), None, ("squared", [[0.5, 1], [2, 3]])),
        (np.array([3, 4]), None, ("cross-entropy", ["3", "4"])),
    ],
)
def test_outputs_are_classes_or_numbers(
    content: bytes | np.ndarray, loss: str | None, expected: tuple[str, list[object]], tmp_path: Path
) -> None:
    kind, values = load_outputs_as(loss, written(tmp_path, content), "file")
    assert (kind, values if isinstance(values, list) else values.tolist()) == expected


def test_words_are_no_numbers_to_come_near(tmp_path: Path) -> None:
    with pytest.raises(Refused):
        load_targets(written(tmp_path, b"label\ncat\ndog\n"), "file")
    with pytest.raises(Refused):
        load_outputs_as(None, written(tmp_path, np.zeros((2, 3, 4))), "file")
