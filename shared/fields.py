"""Frozen dataclasses to JSON objects and back, checked against their annotations.

Everything that comes from a socket or a disk as JSON passes through `decode` before any code looks at it. Known
annotations: ``str``, ``int``, ``float``, ``bool``, ``X | None``, ``tuple[X, ...]``, ``dict[str, Any]`` and nested
dataclasses. Fields that a class does not know are ignored, so that a newer peer may say more; a missing field without a
default, a wrong type, a negative or huge integer, or a text that is too long is a `ProtocolViolation`.
"""

import dataclasses
import functools
import sys
import types
import typing
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

from shared.errors import ProtocolViolation

TEXT_LIMIT = 65_536
"""Characters in any one text field."""

INTEGER_LIMIT = 2**63 - 1

NUMBER_LIMIT = sys.float_info.max

_ATOMS = frozenset((str, int, float, bool, dict, type(None)))

T = TypeVar("T")
Check = Callable[[Any, str], Any]


def encode(message: Any) -> dict[str, Any]:
    """The JSON object of a dataclass instance; nested dataclasses and tuples become objects and arrays."""
    return {name: _plain(getattr(message, name)) for name in _names(typing.cast(Hashable, type(message)))}


def decode(cls: type[T], fields: Mapping[str, Any]) -> T:
    """An instance of the dataclass `cls` from a JSON object.

    Raises `ProtocolViolation` naming the field that is missing or wrong.
    """
    if not isinstance(fields, Mapping):
        raise ProtocolViolation(f"{cls.__name__} must be an object.")
    values = {}
    for name, check, required in _checks(typing.cast(Hashable, cls)):
        if name in fields:
            values[name] = check(fields[name], name)
        elif required:
            raise ProtocolViolation(f"{cls.__name__} lacks the field {name!r}.")
    return cls(**values)


def _plain(value: Any) -> Any:
    if type(value) in _ATOMS:
        return value
    if dataclasses.is_dataclass(value):
        return encode(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


@functools.cache
def _names(cls: Hashable) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(typing.cast(Any, cls)))


@functools.cache
def _checks(cls: Any) -> tuple[tuple[str, Check, bool], ...]:
    hints = typing.get_type_hints(cls)
    return tuple(
        (
            field.name,
            _check_for(hints[field.name]),
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
        )
        for field in dataclasses.fields(cls)
    )


def _check_for(hint: Any) -> Check:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return _optional(_check_for(inner))
    if origin is tuple:
        return _sequence(_check_for(arguments[0]))
    if origin is dict or hint is dict:
        return _object
    if dataclasses.is_dataclass(hint):
        return lambda value, name: decode(typing.cast(type[Any], hint), value)
    return {str: _text, int: _integer, float: _number, bool: _boolean}[hint]


def _optional(inner: Check) -> Check:
    return lambda value, name: None if value is None else inner(value, name)


def _sequence(inner: Check) -> Check:
    def check(value: Any, name: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ProtocolViolation(f"{name!r} must be an array.")
        return tuple(inner(item, name) for item in value)

    return check


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ProtocolViolation(f"{name!r} must be an object.")
    return value


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or len(value) > TEXT_LIMIT:
        raise ProtocolViolation(f"{name!r} must be a text of at most {TEXT_LIMIT} characters.")
    return value


def _integer(value: Any, name: str) -> int:
    if type(value) is not int or not 0 <= value <= INTEGER_LIMIT:
        raise ProtocolViolation(f"{name!r} must be a whole number from 0 to 2^63 - 1.")
    return value


def _number(value: Any, name: str) -> float:
    if type(value) not in (int, float) or not -NUMBER_LIMIT <= value <= NUMBER_LIMIT:
        raise ProtocolViolation(f"{name!r} must be a number, and a finite one.")
    return float(value)


def _boolean(value: Any, name: str) -> bool:
    if type(value) is not bool:
        raise ProtocolViolation(f"{name!r} must be true or false.")
    return value
