"""Is there an order in which a history's operations, each at one instant between call and return, make sense?

The search of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993) with the memory of Lowe ("Testing for
Linearizability", 2017): operations are tried in turn wherever no other has returned before; what was linearized so
far and the state it led to are remembered, so that no such pair is tried twice.
"""

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Generic, Protocol, TypeVar

Ask = TypeVar("Ask", contravariant=True)


@dataclass(frozen=True, slots=True)
class Operation:
    """What a client asked, between `called` and `returned` on any clock that all clients share.

    `returned` is infinite when no answer came: such an operation took effect at any later time, or never; its `answer`
    is None then.
    """

    called: float
    returned: float
    asked: Any
    answer: Any = None

    @property
    def is_open(self) -> bool:
        return self.returned == math.inf


class Model(Protocol, Generic[Ask]):
    """The object as it would be with one client; states are hashable and never changed."""

    def initial(self) -> Hashable: ...

    def step(self, state: Any, asked: Ask, answer: Any, is_open: bool) -> tuple[bool, Hashable]:
        """Whether `answer` is right in `state` (any is for an open operation), and the state after."""
        ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """`linearizable`, or the longest order that was found, with the operations that none could follow with."""

    linearizable: bool
    order: tuple[Operation, ...] = ()
    stuck: tuple[Operation, ...] = ()

    def __bool__(self) -> bool:
        return self.linearizable


class _Events:
    """Calls and returns in order of time, as a doubly linked list: the event of operation n is n, or -n for its return."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        # At one time, calls come before returns: operations that touch are concurrent.
        events = [(one.called, 0, number) for number, one in enumerate(operations, start=1)]
        events += [(one.returned, 1, -number) for number, one in enumerate(operations, start=1)]
        order = [0, *(event for _, _, event in sorted(events)), 0]
        self.after = dict(pairwise(order))
        self.before = {second: first for first, second in pairwise(order)}

    def lift(self, number: int) -> None:
        """Take an operation out."""
        for event in (number, -number):
            self.after[self.before[event]] = self.after[event]
            self.before[self.after[event]] = self.before[event]

    def unlift(self, number: int) -> None:
        """Put the operation back that was lifted last."""
        for event in (-number, number):
            self.after[self.before[event]] = event
            self.before[self.after[event]] = event

    def first_returned(self) -> int:
        """The operation whose return is the first event of its kind."""
        event = self.after[0]
        while event > 0:
            event = self.after[event]
        return -event


def check(model: Model[Any], history: Iterable[Operation]) -> Verdict:
    """Search for an order; exponential at worst in the number of concurrent operations, linear for calm histories."""
    operations = list(history)
    events = _Events(operations)
    to_do = sum(not one.is_open for one in operations)
    state = model.initial()
    taken: list[tuple[int, Hashable]] = []
    mask = 0
    seen: set[tuple[int, Hashable]] = set()
    best: tuple[int, ...] = ()
    stuck = 0
    event = events.after[0]
    while to_do:
        if event > 0:
            one = operations[event - 1]
            right, following = model.step(state, one.asked, one.answer, one.is_open)
            key = (mask | 1 << event, following)
            if right and key not in seen:
                seen.add(key)
                taken.append((event, state))
                mask, state = key
                to_do -= not one.is_open
                events.lift(event)
                event = events.after[0]
            else:
                event = events.after[event]
            continue
        if not stuck or len(taken) > len(best):
            best, stuck = tuple(number for number, _ in taken), events.first_returned()
        if not taken:
            return Verdict(False, tuple(operations[n - 1] for n in best), (operations[stuck - 1],))
        event, state = taken.pop()
        mask &= ~(1 << event)
        to_do += not operations[event - 1].is_open
        events.unlift(event)
        event = events.after[event]
    return Verdict(True, tuple(operations[number - 1] for number, _ in taken))
