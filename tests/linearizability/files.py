"""The files of one name, as clients see them: contents are put, removed and listed.

Every put of a history has contents of its own, so that a listing tells which puts took effect, and how often. Names do
not touch each other: a history is checked name by name, which keeps the search short.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from tests.linearizability.checker import Operation, Verdict, check

Contents = tuple[str, ...]
"""Digests of the files of one name, sorted; a digest that stands twice was put twice."""


@dataclass(frozen=True, slots=True)
class Put:
    """Answered True."""

    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Answered True if that file was there, False if it was refused."""

    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class List:
    """Answered with the `Contents`."""

    name: str


Asked = Put | Remove | List


class FilesOfOneName:
    """The model; a state is the `Contents`."""

    def initial(self) -> Contents:
        return ()

    def step(self, state: Contents, asked: Asked, answer: object, is_open: bool) -> tuple[bool, Contents]:
        match asked:
            case Put(digest=digest):
                return True, tuple(sorted((*state, digest)))
            case Remove(digest=digest):
                there = digest in state
                after = tuple(one for one in state if one != digest)
                return is_open or answer == there, after
        return is_open or answer == state, state


def by_name(history: Iterable[Operation]) -> dict[str, list[Operation]]:
    """The history of each name, without open operations that no answer depends on."""
    names: defaultdict[str, list[Operation]] = defaultdict(list)
    for operation in history:
        names[operation.asked.name].append(operation)
    return {name: _relevant(operations) for name, operations in names.items()}


def _relevant(operations: list[Operation]) -> list[Operation]:
    seen: set[str] = set()
    for one in operations:
        if isinstance(one.asked, List):
            seen.update(one.answer or ())
        elif isinstance(one.asked, Remove):
            seen.add(one.asked.digest)
    return [
        one
        for one in operations
        if not one.is_open or (not isinstance(one.asked, List) and one.asked.digest in seen)
    ]


def first_violation(history: Iterable[Operation]) -> tuple[str, Verdict] | None:
    """The first name whose history is not linearizable, with the verdict; None if all are."""
    for name, operations in sorted(by_name(history).items()):
        verdict = check(FilesOfOneName(), operations)
        if not verdict:
            return name, verdict
    return None


class History:
    """Collects what clients ask and hear. Not thread-safe."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def answered(self, called: float, returned: float, asked: Asked, answer: object) -> None:
        self.operations.append(Operation(called, returned, asked, answer))

    def never_answered(self, called: float, asked: Asked) -> None:
        """The client gave up: whether it took effect, nobody told it."""
        self.operations.append(Operation(called, math.inf, asked))
