"""Memory between a node and a trainer process: what is given is what is taken."""

import os
import struct
import sys
from typing import Any

import pytest

from shared.errors import Refused, TaskFailed
from tests.unit.training.child_process import ChildProcess
from worker.training.shared_memory import HALF_BYTES, SIZE_FIELD, SMALL_BYTES, SharedMemory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has memory without a name")
LARGE = struct.pack("<65536f", *range(65536))


@pytest.fixture
def two_sides() -> tuple[SharedMemory, SharedMemory]:
    node = SharedMemory.create()
    assert node is not None, "Linux has memory without a name"
    return node, SharedMemory.open(node.path)


def test_both_sides_give_and_take_without_disturbing_each_other(
    two_sides: tuple[SharedMemory, SharedMemory],
) -> None:
    node, process = two_sides
    assert node.give(LARGE)
    assert process.give(LARGE[::-1])
    assert process.take(len(LARGE)) == LARGE
    assert node.take(len(LARGE)) == LARGE[::-1]
    assert node.give(bytes(HALF_BYTES))
    assert node.take(len(LARGE)) == LARGE[::-1]


def test_small_and_too_large_bodies_travel_in_their_frames(
    two_sides: tuple[SharedMemory, SharedMemory],
) -> None:
    node, process = two_sides
    assert node.give(bytes(SMALL_BYTES))
    assert not node.give(LARGE[: SMALL_BYTES - 1])
    assert not node.give(bytes(HALF_BYTES + 1))
    for size_bytes in (-1, HALF_BYTES + 1):
        with pytest.raises(ValueError, match="cannot be in"):
            process.take(size_bytes)


def test_a_system_without_such_memory_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    assert SharedMemory.create() is None


def test_a_process_answers_large_bodies_in_memory() -> None:
    node = SharedMemory.create()
    assert node is not None
    child = ChildProcess("worker.training.trainer", memory=node.path)
    try:
        states = LARGE + LARGE
        assert node.give(states)
        asked: dict[str, Any] = {"sizes": [len(LARGE)] * 2, SIZE_FIELD: len(states)}
        answer, body = child.call("average", asked)
        assert body == b""
        assert node.take(answer[SIZE_FIELD]) == LARGE
        with pytest.raises(Refused, match="not 3 states"):
            child.call("average", {**asked, "sizes": [1, 2, 3]})
        small, body = child.call("average", {"sizes": [8, 8]}, LARGE[:16])
        assert SIZE_FIELD not in small
        assert len(body) == 8
    finally:
        child.end()


def test_a_size_that_cannot_be_is_refused_and_ends_nothing() -> None:
    node = SharedMemory.create()
    assert node is not None
    child = ChildProcess("worker.training.trainer", memory=node.path)
    try:
        for size in (-1, HALF_BYTES + 1, "all", None):
            with pytest.raises(TaskFailed):
                child.call("average", {"sizes": [4], SIZE_FIELD: size})
        assert child.call("average", {"sizes": [8, 8]}, LARGE[:16])[1]
    finally:
        child.end()
