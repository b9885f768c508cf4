"""Images as letters."""

import gzip
import struct
from pathlib import Path

import digits
import pytest

SAMPLES = Path(__file__).resolve().parents[3] / "packaging" / "samples"


def test_the_sample_is_what_its_document_says() -> None:
    assert len(digits.read_images(SAMPLES / "mnist-train-images.idx.gz", 10_000)) == 6_000
    assert len(digits.read_images(SAMPLES / "mnist-test-images.idx.gz", 10_000)) == 1_000
    for name, each in (("train", 600), ("test", 100)):
        labels = digits.read_labels(SAMPLES / f"mnist-{name}-labels.idx.gz", 10_000)
        assert {label: labels.count(label) for label in set(labels)} == {
            str(digit): each for digit in range(10)
        }


def test_each_dot_of_a_letter_is_one_pixel() -> None:
    for y in range(4):
        for x in range(2):
            image = [bytes(255 if (row, column) == (y, x) else 0 for column in range(2)) for row in range(4)]
            (letter,) = digits.draw(image, unicode=True)
            assert bin(ord(letter) - 0x2800).count("1") == 1
    assert digits.draw([b"\xff\xff"] * 4, unicode=True) == ["⣿"]
    assert digits.draw([b"\x00\x00"] * 4, unicode=True) == ["⠀"]


def test_shades_stand_in_where_there_is_only_ascii() -> None:
    assert digits.draw([b"\xff\xff\x00\x00"] * 4, unicode=False) == ["@ "]


def test_an_image_has_a_letter_for_each_four_by_two_pixels() -> None:
    (image,) = digits.read_images(SAMPLES / "mnist-test-images.idx.gz", 1)
    lines = digits.draw(image, unicode=True)
    assert len(lines) == 7
    assert {len(line) for line in lines} == {14}


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">4I", 2051, 2, 28, 28) + bytes(28 * 28),
        struct.pack(">4I", 2049, 1, 28, 28) + bytes(28 * 28),
    ],
)
def test_a_damaged_file_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "images.idx.gz"
    path.write_bytes(gzip.compress(data))
    with pytest.raises(ValueError, match="no IDX file of images"):
        digits.read_images(path, 1)
