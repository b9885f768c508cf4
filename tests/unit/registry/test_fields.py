"""Whatever JSON comes, it becomes a message or a violation; and a message survives its way."""

import contextlib
import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import fields, messages
from shared.errors import ProtocolViolation
from worker.registry import commands

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)
KNOWN = [*messages.OPERATIONS.values(), *commands._KINDS.values()]


@dataclass(frozen=True, slots=True)
class Part:
    size: int
    ratio: float = 0.5


@dataclass(frozen=True, slots=True)
class Whole:
    name: str
    parts: tuple[Part, ...]
    note: str | None = None
    flag: bool = False
    more: dict[str, Any] | None = None


WHOLE = Whole("n", (Part(1), Part(2, 0.25)), None, True, {"a": [1]})


def test_a_message_survives_json() -> None:
    assert fields.decode(Whole, json.loads(json.dumps(fields.encode(WHOLE)))) == WHOLE


def test_what_a_newer_peer_adds_is_passed_over() -> None:
    assert fields.decode(Part, {"size": 1, "colour": "red"}) == Part(1)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": None}, "name"),
        ({"name": "x" * (fields.TEXT_LIMIT + 1)}, "name"),
        ({"parts": {}}, "parts"),
        ({"parts": [1]}, "Part"),
        ({"parts": [{"size": -1}]}, "size"),
        ({"parts": [{"size": 2**63}]}, "size"),
        ({"parts": [{"size": True}]}, "size"),
        ({"parts": [{"size": 1, "ratio": float("nan")}]}, "ratio"),
        ({"parts": [{"size": 1, "ratio": float("inf")}]}, "ratio"),
        ({"parts": [{"size": 1, "ratio": 10**400}]}, "ratio"),
        ({"parts": [{"size": 1, "ratio": "1"}]}, "ratio"),
        ({"flag": 1}, "flag"),
        ({"more": []}, "more"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ProtocolViolation, match=named):
        fields.decode(Whole, fields.encode(WHOLE) | change)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(ProtocolViolation, match="parts"):
        fields.decode(Whole, {"name": "n"})


@given(st.sampled_from(KNOWN), JSON)
def test_garbage_is_a_violation_and_nothing_worse(cls: type[Any], garbage: Any) -> None:
    with contextlib.suppress(ProtocolViolation):
        fields.decode(cls, garbage)


@given(st.data())
def test_any_value_in_any_field_is_a_violation_and_nothing_worse(data: st.DataObject) -> None:
    cls = data.draw(st.sampled_from(KNOWN))
    names = list(cls.__dataclass_fields__)
    garbage = {name: data.draw(JSON) for name in names}
    with contextlib.suppress(ProtocolViolation):
        fields.decode(cls, garbage)
