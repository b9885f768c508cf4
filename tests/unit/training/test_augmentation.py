"""Augmentation moves and turns images by what was drawn, within its limits, and gives the same bits each time."""

import math

import numpy as np
import pytest

from shared.images import Pixels
from worker.training.augmentation import Augmentation, _sine_cosine
from worker.training.randomness import Purpose, stream


def _apply(images: Pixels, shift: int, rotation: float, seed: int = 1, thickness: float = 0.0) -> Pixels:
    result = images.copy()
    shape = (int(images.shape[1]), int(images.shape[2]), int(images.shape[3]))
    Augmentation(len(images), shape, shift, rotation, thickness).apply(
        result, stream(seed, Purpose.AUGMENTATION)
    )
    return result


def _dots(rows: int, height: int = 9, width: int = 11, channels: int = 1) -> Pixels:
    images = np.zeros((rows, height, width, channels), np.uint8)
    images[:, height // 2, width // 2] = 200
    return images


def test_shifts_are_whole_pixels_evenly_drawn() -> None:
    moved = _apply(_dots(4_000), 2, 0.0)
    assert (moved.sum(axis=(1, 2, 3)) == 200).all()
    _, rows, columns, _ = np.nonzero(moved)
    for places, middle in ((rows, 4), (columns, 5)):
        counts = np.bincount(places - middle + 2, minlength=5)
        assert len(counts) == 5
        assert counts.min() > 700


def test_what_comes_from_outside_is_the_nearest_edge() -> None:
    images = np.full((50, 6, 6, 3), 77, np.uint8)
    np.testing.assert_array_equal(_apply(images, 3, 30.0), images)


def test_turning_keeps_the_middle_and_moves_the_rim_no_further_than_its_angle() -> None:
    images = np.zeros((300, 29, 29, 1), np.uint8)
    images[:, 14, 14] = images[:, 14, 26] = 255
    turned = _apply(images, 0, 20.0)
    assert (turned[:, 14, 14] == 255).all()
    turned[:, 13:16, 13:16] = 0
    mass = turned[..., 0].astype(np.float64)
    total = mass.sum(axis=(1, 2))
    angle = np.degrees(
        np.arctan2(
            (mass * (np.arange(29) - 14).reshape(-1, 1)).sum(axis=(1, 2)) / total,
            (mass * (np.arange(29) - 14)).sum(axis=(1, 2)) / total,
        )
    )
    assert angle.min() == pytest.approx(-20, abs=1)
    assert angle.max() == pytest.approx(20, abs=1)
    assert total.min() > 200


def test_the_same_stream_gives_the_same_images_and_another_others() -> None:
    images = np.random.default_rng(0).integers(0, 256, (64, 28, 28, 1)).astype(np.uint8)
    np.testing.assert_array_equal(_apply(images, 2, 10.0), _apply(images, 2, 10.0))
    assert (_apply(images, 2, 10.0) != _apply(images, 2, 10.0, seed=2)).any()


def test_a_part_of_the_signs_becomes_thicker_and_keeps_its_size() -> None:
    images = np.zeros((2_000, 28, 28, 1), np.uint8)
    images[:, 4:24, 13:15] = 255  # a stroke of 20 x 2 pixels, as large as a sign is
    found = _apply(images, 0, 0.0, thickness=0.25)
    thicker = (found != images).any(axis=(1, 2, 3))
    assert thicker.mean() == pytest.approx(0.25, abs=0.05)
    (changed,) = np.unique(found[thicker], axis=0)
    ink = changed[..., 0] > 127
    assert (np.count_nonzero(ink.any(axis=1)), np.count_nonzero(ink.any(axis=0))) == (20, 4)
    np.testing.assert_array_equal(found[~thicker][0], images[0])
    np.testing.assert_array_equal(
        _apply(images, 1, 9.0, thickness=0.25), _apply(images, 1, 9.0, thickness=0.25)
    )


def test_what_is_thicker_on_all_sides_comes_from_inside() -> None:
    images = np.full((50, 6, 7, 3), 77, np.uint8)
    np.testing.assert_array_equal(_apply(images, 3, 30.0, thickness=1.0), images)


def test_the_sine_is_the_sine() -> None:
    for degrees in (-45, -10, 0, 3, 45):
        angle = math.radians(degrees)
        assert _sine_cosine(angle) == pytest.approx((math.sin(angle), math.cos(angle)), abs=1e-15)
