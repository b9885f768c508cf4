"""One normalisation for training and prediction: whatever is drawn, wherever on the paper, comes out alike."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from shared import images
from shared.errors import Refused
from shared.images import INK_SHAPE, InputForm, Pixels, choose_form, decode, stack_to_model, to_model

INK = InputForm(INK_SHAPE, "ink")


def seven(size: int = 280, left: int = 60, top: int = 40, height: int = 180, width: int = 22) -> Pixels:
    """White ink on black paper, [size, size, 1]."""
    paper = Image.new("L", (size, size), 0)
    corner, turn = (left, top), (left + height * 2 // 3, top)
    ImageDraw.Draw(paper).line(
        [corner, turn, (left + height // 4, top + height)], fill=255, width=width, joint="curve"
    )
    return np.asarray(paper)[..., np.newaxis]


def encoded(image: Pixels, kind: str, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).convert(mode).save(file, kind)
    return file.getvalue()


def centre_of_mass(image: Pixels) -> tuple[float, float]:
    mass = image[..., 0].astype(float)
    rows, columns = np.indices(mass.shape)
    return float((mass * rows).sum() / mass.sum()), float((mass * columns).sum() / mass.sum())


def likeness(one: Pixels, other: Pixels) -> float:
    """The correlation of two images, the second moved by at most one pixel (a sign is put on whole pixels)."""
    moves = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    moved = (np.roll(other, move, axis=(0, 1)).ravel() for move in moves)
    return max(float(np.corrcoef(one.ravel(), each)[0, 1]) for each in moved)


@pytest.mark.parametrize("kind", images.FORMATS)
@pytest.mark.parametrize("colour", [False, True])
def test_every_format_is_read(kind: str, colour: bool) -> None:
    image = np.repeat(seven(), 3, axis=2) if colour else seven()
    decoded = decode(encoded(image, kind, "RGB" if colour else "L"))
    assert decoded.dtype == np.uint8
    assert decoded.shape[:2] == (280, 280)
    assert np.abs(decoded[..., 0].astype(int) - image[..., 0]).mean() < 4


def test_a_sign_is_centred_and_scaled_wherever_and_however_large_it_was_drawn() -> None:
    reference = to_model(seven(), INK)
    assert reference.max() == 255
    for sign in (
        seven(left=15, top=15),
        seven(left=130, top=90),
        seven(size=600, left=400, top=300),
        seven(size=140, left=8, top=6, height=90, width=11),
        seven(size=1000, left=100, top=100, height=720, width=88),
    ):
        model_input = to_model(sign, INK)
        assert centre_of_mass(model_input) == pytest.approx((14, 14), abs=0.6)
        assert likeness(model_input, reference) > 0.95


def test_ink_is_light_whichever_was_the_darker_and_whatever_the_paper() -> None:
    light = to_model(seven(), INK)
    np.testing.assert_array_equal(to_model(255 - seven(), INK), light)
    blue_on_yellow = np.where(seven() > 127, np.array([20, 30, 160]), np.array([250, 245, 200])).astype(
        np.uint8
    )
    assert likeness(to_model(blue_on_yellow, INK), light) > 0.95
    grain = np.random.default_rng(1).integers(0, 20, (280, 280, 1))
    grainy = (255 - np.clip(seven().astype(int) + grain, 0, 255)).astype(np.uint8)
    assert likeness(to_model(grainy, INK), light) > 0.95


def test_what_is_normalised_stays_as_it_is() -> None:
    once = to_model(seven(), INK)
    np.testing.assert_array_equal(to_model(once, INK), once)
    stack = np.stack([once, to_model(seven(width=40), INK)])
    np.testing.assert_array_equal(stack_to_model(stack, INK), stack)


def test_a_stack_is_normalised_as_its_images_are() -> None:
    mixed = np.stack([seven()[::10, ::10], to_model(seven(), INK), np.zeros(INK_SHAPE, np.uint8)])
    expected = np.stack([to_model(image, INK) for image in mixed])
    np.testing.assert_array_equal(stack_to_model(mixed, INK), expected)


@pytest.mark.parametrize("shape", [(28, 28, 1), (20, 28, 1), (9, 9, 1)])
def test_what_counts_as_normalised_is_as_it_is_defined(shape: tuple[int, int, int]) -> None:
    height, width, _ = shape
    random = np.random.default_rng(1)
    sign = to_model(seven(), InputForm(shape, "ink"))[..., 0]
    stack = np.stack([np.roll(sign, move, axis=(0, 1)) for move in ((0, 0), (0, 1), (1, 0), (0, 3))] * 100)
    stack[100:200][random.random((100, height, width)) < 0.02] = 9
    stack[200:300] //= random.integers(1, 3, (100, 1, 1), np.uint8)
    stack[300:310], stack[310:] = 0, random.integers(0, 256, (90, height, width), np.uint8)
    found = images._is_normal_ink(stack, shape)
    box = round(min(height, width) * 20 / 28)
    for grey, normal in zip(stack, found, strict=True):
        if not grey.any():
            assert normal
            continue
        rows, columns = np.flatnonzero(grey.any(axis=1)), np.flatnonzero(grey.any(axis=0))
        side = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
        row, column = centre_of_mass(grey[..., np.newaxis])
        centred = abs(row - height / 2) <= 0.52 and abs(column - width / 2) <= 0.52
        frame = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
        expected = centred and box - 1 <= side <= box and np.median(frame) == 0 and grey.max() >= 250
        assert normal == expected
    assert 0 < found[:300].sum() < 300


def test_empty_paper_gives_nothing() -> None:
    for grey in (0, 128, 255):
        assert not to_model(np.full((50, 40, 3), grey, np.uint8), INK).any()


def test_transparent_paper_is_the_opposite_of_what_is_drawn() -> None:
    light = to_model(seven(), INK)
    for ink in (0, 255):
        layered = np.full((280, 280, 4), ink, np.uint8)
        layered[..., 3] = seven()[..., 0]
        file = io.BytesIO()
        Image.fromarray(layered).save(file, "PNG")
        np.testing.assert_array_equal(to_model(decode(file.getvalue()), INK), light)


def test_photographs_are_fitted_not_inverted() -> None:
    photo = np.zeros((40, 80, 3), np.uint8)
    photo[:, 40:] = (200, 100, 50)
    colour = to_model(photo, InputForm((32, 32, 3), "plain"))
    np.testing.assert_array_equal(colour[16, 30], (200, 100, 50))
    assert not colour[:, :10].any()
    grey = to_model(photo, InputForm((32, 32, 1), "plain"))
    assert grey[16, 30, 0] == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    same = InputForm((40, 80, 3), "plain")
    assert stack_to_model(photo[np.newaxis], same).base is not None or to_model(photo, same) is photo
    np.testing.assert_array_equal(to_model(photo, same), photo)
    np.testing.assert_array_equal(to_model(grey, InputForm((32, 32, 3), "plain"))[..., 2], grey[..., 0])


def test_the_form_follows_from_the_images() -> None:
    signs = [seven(left=left) for left in (5, 60, 120)]
    photos = list(np.random.default_rng(2).integers(0, 256, (4, 50, 50, 3)).astype(np.uint8))
    assert choose_form(signs) == InputForm((28, 28, 1), "ink")
    assert choose_form([to_model(sign, INK) for sign in signs]) == InputForm((28, 28, 1), "ink")
    assert choose_form(photos) == InputForm((50, 50, 3), "plain")
    assert choose_form([*photos, photos[0][:40]]) == InputForm((32, 32, 3), "plain")
    assert choose_form([photo[..., :1] for photo in photos]) == InputForm((50, 50, 1), "plain")
    assert choose_form(signs, "plain").normalise == "plain"
    assert choose_form(photos, "ink") == InputForm((50, 50, 1), "ink")
    with pytest.raises(Refused, match="no images"):
        choose_form([])


@given(
    data=st.binary(max_size=300),
    kind=st.sampled_from([b"", *(encoded(seven(), k)[:60] for k in images.FORMATS)]),
)
def test_garbage_is_refused(data: bytes, kind: bytes) -> None:
    with pytest.raises(Refused):
        decode(kind + data)


@given(place=st.integers(8, 400), value=st.integers(0, 255), kind=st.sampled_from(images.FORMATS))
def test_a_damaged_image_is_read_or_refused(place: int, value: int, kind: str) -> None:
    data = bytearray(encoded(seven(size=40, left=8, top=8, height=24, width=4), kind))
    data[place % len(data)] = value
    try:
        decoded = decode(bytes(data))
    except Refused:
        return
    assert decoded.dtype == np.uint8
    assert decoded.shape[2] in (1, 3)


def test_a_decompression_bomb_is_refused_from_its_header() -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    with pytest.raises(Refused):
        decode(bomb)
    large = encoded(np.zeros((5_001, 5_000, 1), np.uint8), "PNG", "L")
    with pytest.raises(Refused, match="5000 x 5001 pixels"):
        decode(large)


def test_other_formats_are_refused() -> None:
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "TIFF")
    with pytest.raises(Refused, match="not a readable image"):
        decode(file.getvalue())


def test_a_turned_photograph_is_set_upright() -> None:
    picture = Image.fromarray(np.zeros((20, 40, 3), np.uint8))
    exif: Any = picture.getexif()
    exif[0x0112] = 6
    file = io.BytesIO()
    picture.save(file, "JPEG", exif=exif)
    assert decode(file.getvalue()).shape == (40, 20, 3)
