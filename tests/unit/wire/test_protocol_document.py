"""docs/protocol.md names everything that travels, as it is."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from shared import errors, frames, messages
from shared.evaluations import Evaluation, WrongAnswer
from worker.raft import messages as raft

DOCUMENT = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text(encoding="utf-8")
SECTIONS = re.split(r"^## ", DOCUMENT, flags=re.MULTILINE)


def rows(section: int) -> dict[str, str]:
    """The rows of a section's tables, by what stands in the first column."""
    found = re.finditer(r"^\| `?(\w+)`? \|(.*)\|$", SECTIONS[section], re.MULTILINE)
    return {match[1]: match[2] for match in found}


def lacking(fields: list[str], text: str) -> list[str]:
    return [name for name in fields if f"`{name}`" not in text and f'"{name}"' not in text]


@pytest.mark.parametrize("kind", frames.FrameType, ids=lambda kind: kind.name)
def test_every_type_of_frame_has_its_number(kind: frames.FrameType) -> None:
    assert rows(3)[kind.name].split("|")[0].strip() == str(int(kind))


@pytest.mark.parametrize("code", errors.FAMILIES)
def test_every_code_of_a_failure_is_explained(code: str) -> None:
    assert code in rows(5)


@pytest.mark.parametrize("op", messages.OPERATIONS)
def test_every_operation_has_all_its_fields(op: str) -> None:
    fields = [field.name for field in dataclasses.fields(messages.OPERATIONS[op])]
    assert not lacking(fields, rows(6)[op].split("|")[0])


@pytest.mark.parametrize(
    "part",
    [messages.Ticket, messages.TrainSpec, messages.PredictInput, Evaluation, WrongAnswer],
)
def test_every_part_of_an_operation_has_all_its_fields(part: type[Any]) -> None:
    assert not lacking([field.name for field in dataclasses.fields(part)], DOCUMENT)


@pytest.mark.parametrize("message", raft.Message.__args__, ids=lambda message: message.__name__)
def test_every_raft_message_has_all_its_fields(message: type[Any]) -> None:
    fields = {field.name for field in dataclasses.fields(message)} - {"to", "sender", "term"}
    bodies = {"entries", "data", "snapshot"}
    assert not lacking(sorted(fields - bodies), SECTIONS[7])


@pytest.mark.parametrize(
    "limit",
    [
        frames.MAX_OPENING_HEADER_BYTES,
        frames.MAX_HEADER_BYTES,
        frames.MAX_BODY_BYTES,
        messages.INLINE_BYTES,
        messages.PAGE_ROWS,
        messages.NAME_CHARACTERS,
        messages.PREDICT_IMAGES,
    ],
)
def test_every_limit_is_stated(limit: int) -> None:
    assert f"{limit:,}" in DOCUMENT


def test_no_operation_hides_the_request_s_own_fields() -> None:
    for operation in messages.OPERATIONS.values():
        assert not {"id", "op"} & {field.name for field in dataclasses.fields(operation)}
