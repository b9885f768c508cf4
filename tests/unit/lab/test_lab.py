"""What the laboratory damages, and what it notes."""

import random
from pathlib import Path
from typing import Any

import pytest

from backend.lab.damage import HEAD_BYTES, flip_bit
from backend.lab.watch import KEPT, Story
from shared.errors import Refused


def changed_bits(before: bytes, after: bytes) -> int:
    assert len(before) == len(after)
    return sum((one ^ other).bit_count() for one, other in zip(before, after, strict=True))


def test_one_bit_of_a_blob_is_flipped(tmp_path: Path) -> None:
    blob = tmp_path / "blobs" / "ab" / ("ab" * 32)
    blob.parent.mkdir(parents=True)
    blob.write_bytes(bytes(5_000))
    where = flip_bit(tmp_path, random.Random(1))
    assert where.startswith("abababababab, byte ")
    assert changed_bits(bytes(5_000), blob.read_bytes()) == 1


def test_without_blobs_the_log_is_damaged_where_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "log").mkdir()
    content = b"h" * HEAD_BYTES + b"e" * 500 + bytes(4_000)
    (tmp_path / "log" / "1.log").write_bytes(content)
    for seed in range(30):
        flip_bit(tmp_path, random.Random(seed))
        after = (tmp_path / "log" / "1.log").read_bytes()
        assert changed_bits(content, after) == 1
        assert after[:HEAD_BYTES] == content[:HEAD_BYTES]
        assert after[HEAD_BYTES + 500 :] == content[HEAD_BYTES + 500 :]
        (tmp_path / "log" / "1.log").write_bytes(content)


def test_where_nothing_is_nothing_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "log").mkdir()
    with pytest.raises(Refused):
        flip_bit(tmp_path, random.Random(1))


def row(id: str, role: str = "follower", term: int = 1, index: int = 5, digest: str = "a") -> dict[str, Any]:
    return {"id": id, "role": role, "term": term, "applied_index": index, "state_digest": digest}


def kinds(story: Story) -> list[str]:
    return [line["kind"] for line in story.lines]


def test_who_leads_is_noted_once(tmp_path: Path) -> None:
    story = Story()
    story.saw({"w1": row("w1", "leader"), "w2": row("w2")}, 2)
    story.saw({"w1": row("w1", "leader"), "w2": row("w2")}, 2)
    story.saw({"w1": None, "w2": row("w2")}, 2)
    story.saw(
        {"w1": row("w1", "leader"), "w2": row("w2", "leader", term=2)}, 2
    )  # the old one does not know yet
    told = [line for line in story.lines if line["kind"] != "whole"]
    assert [(line["kind"], line["worker"]) for line in told] == [
        ("leads", "w1"),
        ("noLeader", None),
        ("leads", "w2"),
    ]


def test_that_all_are_equal_again_is_noted_after_they_were_not() -> None:
    story = Story()
    same = {"w1": row("w1", "leader"), "w2": row("w2")}
    story.saw(same, 2)
    story.saw(
        {"w1": row("w1", "leader", index=6), "w2": row("w2")}, 2
    )  # one is a step ahead: that is no difference
    story.saw(same, 2)
    assert "whole" not in kinds(story)
    story.saw({"w1": row("w1", "leader"), "w2": None}, 2)
    story.saw(same, 2)
    assert kinds(story).count("whole") == 1


def test_notices_are_noted_once_for_each_life_of_a_worker() -> None:
    story = Story()
    damage = {"notice": 1, "kind": "damage", "text": "a blob"}
    story.heard("w1", "first", [damage, {"notice": 2, "kind": "election", "text": "leader"}])
    story.heard("w1", "first", [damage])
    assert kinds(story) == ["notice"]
    story.heard("w1", "second", [damage])
    assert kinds(story) == ["notice", "notice"]


def test_the_story_stays_bounded() -> None:
    story = Story()
    for _ in range(KEPT + 5):
        story.add("kill", worker="w1")
    assert len(story.lines) == KEPT
    assert story.lines[-1]["line"] == KEPT + 5
