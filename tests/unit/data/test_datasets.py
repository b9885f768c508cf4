"""Data sets as people have them are read; what is wrong is refused with the reason and what to do."""

import gzip
import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shared import array_files
from shared.datasets import load_inputs, load_model_inputs, load_outputs, paired
from shared.errors import Refused

IMAGES = np.random.default_rng(1).integers(0, 256, (5, 4, 4)).astype(np.uint8)
LABELS = [3, 0, 3, 1, 2]
SAMPLES = Path(__file__).parents[3] / "packaging" / "samples"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(data: bytes | str, name: str = "file") -> Path:
        path = tmp_path / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    return make


def idx(array: np.ndarray[Any, Any], kind: int = 8) -> bytes:
    dtype = array_files.IDX_TYPES[kind]
    lengths = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, kind, array.ndim]) + lengths + array.astype(dtype).tobytes()


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def npy(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def zipped(entries: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return file.getvalue()


def png(image: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


FORMS: dict[str, bytes] = {
    "idx": idx(IMAGES),
    "idx.gz": gzip.compress(idx(IMAGES)),
    "idx of floats": idx(IMAGES / 255, 0x0D),
    "idx of words": idx(IMAGES, 0x0C),
    "npy": npy(IMAGES),
    "npz by name": npz(x=IMAGES, y=LABELS),
    "npz of one": npz(anything=IMAGES),
    "npz of floats": npz(inputs=(IMAGES / 255).astype(np.float32)),
    "npz of rows": npz(inputs=IMAGES.reshape(5, 16)),
    "csv": "\n".join(",".join(str(p) for p in image.ravel()) for image in IMAGES).encode(),
    "csv with header and labels": "\n".join(
        ["label," + ",".join(f"p{n}" for n in range(16))]
        + [",".join(str(n) for n in (label, *image.ravel())) for label, image in zip(LABELS, IMAGES, strict=True)]
    ).encode(),
    "zip": zipped({f"{n}/{n}.png": png(image) for n, image in enumerate(IMAGES)}),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_inputs_in_every_form(form: str, write: Write) -> None:
    read = load_inputs(write(FORMS[form]), form)
    np.testing.assert_array_equal(read[..., 0], IMAGES)


def test_colour_in_both_orders_of_axes(write: Write) -> None:
    colour = np.random.default_rng(2).integers(0, 256, (5, 4, 6, 3)).astype(np.uint8)
    np.testing.assert_array_equal(load_inputs(write(npy(colour)), "a"), colour)
    np.testing.assert_array_equal(load_inputs(write(npy(colour.transpose(0, 3, 1, 2))), "b"), colour)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (idx(np.array(LABELS)), ["3", "0", "3", "1", "2"]),
        (gzip.compress(idx(np.array(LABELS))), ["3", "0", "3", "1", "2"]),
        (npz(x=IMAGES, y=LABELS), ["3", "0", "3", "1", "2"]),
        (npy(np.array([[1.0], [2.0]])), ["1", "2"]),
        (npy(np.array(["a b", "ñ"])), ["a b", "ñ"]),
        (b"cat\ndog\r\n\ncat", ["cat", "dog", "cat"]),
        ("\ufefflabel\ncat\nperro\n".encode(), ["cat", "perro"]),
        (b"file,Class\nx.png,cat\ny.png,dog\n", ["cat", "dog"]),
        (
            zipped(
                {"b/2.png": b"", "a/1.JPG": b"", "set/b/x.webp": b"", "a/.hidden.png": b"", "notes.txt": b""}
            ),
            ["a", "b", "b"],
        ),
    ],
)
def test_outputs_in_every_form(data: bytes, expected: list[str], write: Write) -> None:
    assert load_outputs(write(data), "outputs") == expected


def test_an_archive_gives_inputs_and_outputs_in_one_order(write: Write) -> None:
    archive = write(
        zipped(
            {
                f"{label}/{n}.png": png(image)
                for n, (label, image) in enumerate(zip(LABELS, IMAGES, strict=True))
            }
        )
    )
    labels = load_outputs(archive, "zip")
    images, form = load_model_inputs(archive, "zip", "plain")
    assert form.shape == (4, 4, 1)
    assert labels == ["0", "1", "2", "3", "3"]
    np.testing.assert_array_equal(images[..., 0], IMAGES[[1, 3, 4, 0, 2]])
    again, _ = load_model_inputs(archive, "zip", form)
    np.testing.assert_array_equal(again, images)


def test_images_of_many_sizes_become_one(write: Write) -> None:
    archive = write(
        zipped({f"a/{side}.png": png(np.full((side, side, 3), side, np.uint8)) for side in (40, 50, 200)})
    )
    images, form = load_model_inputs(archive, "zip", "auto")
    assert images.shape == (3, *form.shape) == (3, 32, 32, 1)
    with pytest.raises(Refused, match=r"'a/40\.png' in 'zip' is 40 x 40 x 3, the first is 200 x 200 x 3"):
        load_inputs(archive, "zip")


REFUSED: dict[str, tuple[bytes, str]] = {
    "short idx": (
        idx(IMAGES)[:-3],
        r"corrupt IDX 'file': the header says 5 images of 4 x 4 \(80 bytes\), the file holds 77",
    ),
    "long idx": (idx(IMAGES) + b"x", "the file holds more"),
    "idx without a header": (b"\0\0\x08\x03\0\0", "ends within its header"),
    "idx of no dimensions": (b"\0\0\x08\x00" + bytes(8), "0 dimensions"),
    "idx of a petabyte": (b"\0\0\x08\x03" + b"\x7f\xff\xff\xff" * 3, "would take"),
    "cut gzip": (gzip.compress(idx(IMAGES))[:-9], "damaged gzip"),
    "gzip of nonsense": (b"\x1f\x8b" + bytes(20), "damaged gzip"),
    "pickled objects": (npy(np.array([{}, []], object), allow_pickle=True), "not a readable NumPy array"),
    "cut npy": (npy(IMAGES)[:-1], "not a readable NumPy array"),
    "npz of many": (npz(a=IMAGES, b=IMAGES), "Name one of them 'inputs'"),
    "numbers out of range": (npy(IMAGES.astype(int) + 200), "values from"),
    "not a number": (npy(np.full((2, 4, 4), np.nan)), "values from nan"),
    "complex": (npy(np.zeros((2, 4, 4), complex)), "type complex"),
    "no images": (npy(np.zeros((2, 5))), "array of 2 x 5"),
    "too large images": (npy(np.zeros((1, 2_000, 1), np.uint8)), "1 images of 2000 x 1"),
    "csv of words": (b"one,two\nthree,four\n", "line 2"),
    "csv of fractions": (b"0.5,1,2,3\n", "line 1"),
    "csv of large numbers": (b"256,1,2,3\n", "line 1"),
    "ragged csv": (b"1,2,3,4\n1,2,3\n", "line 2"),
    "csv of nothing": (b"\n\n", "no images"),
    "text of another kind": ("ñandú".encode("utf-16"), "not a data set"),
    "empty zip": (zipped({}), "holds 0 images"),
    "zip without images": (zipped({"a/x.txt": b"x"}), "holds 0 images"),
    "zip of damaged images": (zipped({"a/x.png": b"x"}), "'a/x.png' in 'file': not a readable image"),
    "damaged zip": (zipped({"a/x.png": png(IMAGES[0])})[:-30], "damaged zip"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_with_inputs_is_said(case: str, write: Write) -> None:
    data, reason = REFUSED[case]
    path = write(data)
    with pytest.raises(Refused, match=reason):
        load_inputs(path, "file")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (idx(IMAGES), "one label for each input"),
        (npy(np.array([0.5, 1.0])), "one label for each input"),
        (npy(np.array([b"x"])), "one label for each input"),
        (b"a,b\nc,d\n", "2 columns"),
        (b"label,x\n\n,1\n", "label ''"),
        (b"x,label\n1\n", "no label"),
        (b"a" * 201, "holds the label"),
        (zipped({"x.png": b""}), "is in no folder"),
    ],
)
def test_what_is_wrong_with_outputs_is_said(data: bytes, reason: str, write: Write) -> None:
    with pytest.raises(Refused, match=reason):
        load_outputs(write(data), "file")


def test_inputs_and_outputs_must_be_as_many() -> None:
    paired(2, ["a", "b"], "labels")
    with pytest.raises(Refused, match="3 inputs but 2 outputs in 'labels'"):
        paired(3, ["a", "b"], "labels")
    with pytest.raises(Refused, match="holds no examples"):
        paired(0, [], "labels")


def test_a_compressed_bomb_is_never_unpacked(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_files, "MAX_ARRAY_BYTES", 1_000)
    large = np.zeros((100, 10, 10), np.uint8)
    for data in (gzip.compress(idx(large)), npz(inputs=large), npy(large), idx(large)):
        with pytest.raises(Refused, match=r"bytes, the most is 1,000"):
            load_inputs(write(data), "bomb")
    small = gzip.compress(idx(IMAGES) + bytes(10_000_000))
    with pytest.raises(Refused, match="holds more"):
        load_inputs(write(small), "bomb")


@given(
    data=st.binary(max_size=120),
    start=st.sampled_from(
        [
            b"",
            b"\x1f\x8b\x08",
            b"PK\x03\x04",
            b"\x93NUMPY\x01\x00",
            b"\0\0\x08\x03",
            b"1,2\n",
            npz(x=IMAGES)[:99],
        ]
    ),
)
def test_garbage_is_refused_or_read(
    data: bytes, start: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage"
    path.write_bytes(start + data)
    for load in (load_inputs, load_outputs):
        try:
            load(path, "garbage")
        except Refused:
            continue


@given(place=st.integers(0, 10_000), value=st.integers(0, 255), form=st.sampled_from(sorted(FORMS)))
def test_one_wrong_byte_is_refused_or_read(
    place: int, value: int, form: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = bytearray(FORMS[form])
    data[place % len(data)] = value
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(data)
    for load in (load_inputs, load_outputs):
        try:
            load(path, "damaged")
        except Refused:
            continue


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be read"):
        load_inputs(tmp_path / "absent", "absent")


def test_the_samples_are_ink_and_nearly_all_are_left_as_they_are() -> None:
    path = SAMPLES / "mnist-test-images.idx.gz"
    images, form = load_model_inputs(path, path.name, "auto")
    assert (form.shape, form.normalise) == ((28, 28, 1), "ink")
    changed = (images != load_inputs(path, path.name)).any(axis=(1, 2, 3))
    assert changed.mean() < 0.01
