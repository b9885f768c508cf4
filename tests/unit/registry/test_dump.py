"""A state that was dumped and loaded is the same state, and goes on in the same way."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.messages import Ticket
from tests.unit.registry.commands_strategy import COMMANDS
from worker.registry import commands
from worker.registry.commands import Command
from worker.registry.registry import Registry


def applied(history: list[Command]) -> Registry:
    registry = Registry()
    for index, command in enumerate(history, 1):
        registry.apply(index, commands.encode(command))
    return registry


def loaded(registry: Registry, piece_rows: int) -> Registry:
    """Through JSON, as a snapshot does it."""
    rows = [json.loads(json.dumps(row)) for row in registry.dump()]
    copy = Registry()
    for start in range(0, len(rows), piece_rows):
        copy.load(rows[start : start + piece_rows])
    return copy


@settings(max_examples=150, deadline=None)
@given(st.lists(COMMANDS, max_size=40), st.lists(COMMANDS, max_size=15), st.integers(1, 7))
def test_a_loaded_state_cannot_be_told_from_the_one_that_was_dumped(
    before: list[Command], after: list[Command], piece_rows: int
) -> None:
    registry = applied([commands.OpenSession("c", 0), *before])
    copy = loaded(registry, piece_rows)
    assert list(copy.dump()) == list(registry.dump())
    assert set(copy.live_blobs()) == set(registry.live_blobs())
    for index, command in enumerate(after, registry.applied_index + 1):
        data = commands.encode(command)
        assert copy.apply(index, data) == registry.apply(index, data)
    assert copy.state_digest == registry.state_digest
    assert list(copy.dump()) == list(registry.dump())
    assert copy.files_after(0, 100) == registry.files_after(0, 100)


def test_a_registry_becomes_another_one() -> None:
    registry = applied([commands.OpenSession("c", 0)])
    other = loaded(applied([commands.Enlist("w1", "h:1", "i", 5)]), 10)
    registry.replace(other)
    assert list(registry.members) == ["w1"]
    assert registry.applied_index == 1


def test_a_state_of_a_newer_version_is_not_guessed_at() -> None:
    rows = list(applied([]).dump())
    rows[0][1]["version"] += 1
    with pytest.raises(ValueError, match="version"):
        Registry().load(rows)
    with pytest.raises(ValueError, match="kind"):
        Registry().load([["riddle"]])


def test_files_are_dumped_many_to_a_row_so_that_a_start_is_quick() -> None:
    registry = applied([commands.OpenSession("c", 0), *puts(1_200)])
    kinds = [row[0] for row in registry.dump()]
    assert kinds.count("files") == 3
    assert loaded(registry, 1).files == registry.files


def test_a_state_of_the_first_version_is_still_read() -> None:
    registry = applied([commands.OpenSession("c", 0), *puts(3), commands.RemoveFile(ticket(4), 3, 0)])
    rows: list[list[Any]] = []
    for kind, *values in registry.dump():
        if kind == "files":
            names = ("id", "name", "size_bytes", "digest", "created_ms")
            rows += [["file", dict(zip(names, row, strict=False))] for row in zip(*values, strict=True)]
        else:
            rows.append([kind, *values])
    rows[0][1]["version"] = 1
    copy = Registry()
    copy.load(json.loads(json.dumps(rows)))
    assert copy.files == registry.files
    assert copy.small_file("02" * 32) is None
    assert copy.find_file("name 1").digest == "01" * 32


def puts(count: int) -> list[Command]:
    return [
        commands.PutFile(ticket(n), f"name {n}", f"{n:02d}" * 32 if n < 100 else f"{n:064x}", n, 0)
        for n in range(1, count + 1)
    ]


def ticket(sequence: int) -> Ticket:
    return Ticket(1, sequence, sequence)
