"""The checker rejects histories that no correct cluster shows, and accepts every concurrent one that makes sense."""

import math
import random

import pytest

from tests.linearizability.checker import Operation, check
from tests.linearizability.files import FilesOfOneName, List, Put, Remove, by_name, first_violation


def put(called: float, returned: float, digest: str, name: str = "n") -> Operation:
    return Operation(called, returned, Put(name, digest), None if returned == math.inf else True)


def remove(called: float, returned: float, digest: str, answer: bool | None = True) -> Operation:
    return Operation(called, returned, Remove("n", digest), answer)


def listed(called: float, returned: float, *digests: str, name: str = "n") -> Operation:
    return Operation(called, returned, List(name), digests)


GOOD = {
    "nothing": [],
    "one after the other": [put(0, 1, "a"), listed(2, 3, "a"), remove(4, 5, "a"), listed(6, 7)],
    "a read during a put may see it": [put(0, 9, "a"), listed(1, 2, "a")],
    "a read during a put may miss it": [put(0, 9, "a"), listed(1, 2)],
    "two puts at once, seen in either order": [
        put(0, 9, "a"),
        put(0, 9, "b"),
        listed(1, 2, "b"),
        listed(3, 4, "a", "b"),
    ],
    "the later call may go first": [put(0, 9, "a"), remove(1, 8, "a", False), listed(2, 3)],
    "a put without an answer took effect late": [
        put(0, math.inf, "a"),
        listed(1, 2),
        listed(3, 4, "a"),
    ],
    "a put without an answer never took effect": [put(0, math.inf, "a"), listed(1, 2), put(3, 4, "b")],
    "a removal without an answer took effect": [
        put(0, 1, "a"),
        remove(2, math.inf, "a", None),
        listed(3, 4, "a"),
        listed(5, 6),
    ],
    "two removals, one refused": [put(0, 1, "a"), remove(2, 5, "a"), remove(2, 5, "a", False)],
    "reads that overlap may disagree": [put(2, 7, "a"), listed(1, 8, "a"), listed(1, 8)],
    "names do not touch each other": [put(0, 1, "a"), listed(2, 3, name="other")],
}

BAD = {
    "stale read": [put(0, 1, "a"), listed(2, 3)],
    "lost write": [put(0, 1, "a"), put(2, 3, "b"), listed(4, 5, "b")],
    "double apply": [put(0, 1, "a"), listed(2, 3, "a", "a")],
    "a repeat without an answer applied again": [put(0, math.inf, "a"), listed(1, 2, "a", "a")],
    "reads go back": [put(0, 9, "a"), listed(1, 2, "a"), listed(3, 4)],
    "reads go back, of a put without an answer": [put(0, math.inf, "a"), listed(1, 2, "a"), listed(3, 4)],
    "read of what was never put": [listed(0, 1, "a")],
    "read from the future": [listed(0, 1, "a"), put(2, 3, "a")],
    "removed twice": [put(0, 1, "a"), remove(2, 5, "a"), remove(2, 5, "a")],
    "removal refused though it was there": [put(0, 1, "a"), remove(2, 3, "a", False)],
    "it came back": [put(0, 1, "a"), remove(2, 3, "a"), listed(4, 5, "a")],
    "two readers see two puts in opposite orders": [
        put(0, 9, "a"),
        put(0, 9, "b"),
        listed(1, 2, "a"),
        listed(3, 4, "b"),
    ],
    "the order of two removals is the same for all": [
        put(0, 1, "a"),
        put(0, 1, "b"),
        remove(2, 9, "a"),
        remove(2, 9, "b"),
        listed(3, 4, "a"),
        listed(5, 6, "b"),
    ],
}


@pytest.mark.parametrize("case", GOOD)
def test_accepts(case: str) -> None:
    assert first_violation(GOOD[case]) is None


@pytest.mark.parametrize("case", BAD)
def test_rejects(case: str) -> None:
    violation = first_violation(BAD[case])
    assert violation is not None
    name, verdict = violation
    assert name == "n"
    assert verdict.stuck


@pytest.mark.parametrize("case", [*GOOD, *BAD])
def test_agrees_with_trying_every_order(case: str) -> None:
    history = by_name((GOOD | BAD)[case]).get("n", [])
    assert bool(check(FilesOfOneName(), history)) == any_order(history)


def any_order(left: list[Operation], state: tuple[str, ...] = ()) -> bool:
    """The definition itself: some operation that nobody has to precede goes next."""
    if all(one.is_open for one in left):
        return True
    model = FilesOfOneName()
    for one in left:
        if any(other.returned < one.called for other in left):
            continue
        right, after = model.step(state, one.asked, one.answer, one.is_open)
        if right and any_order([other for other in left if other is not one], after):
            return True
    return False


@pytest.mark.parametrize("seed", range(40))
def test_agrees_with_trying_every_order_on_random_histories(seed: int) -> None:
    """Histories of a real object, every other one with an answer exchanged: right and wrong ones both come up."""
    rng = random.Random(seed)
    history, state = [], ()
    for step in range(7):
        asked = rng.choice([Put("n", f"d{step}"), Remove("n", f"d{rng.randrange(7)}"), List("n")])
        answer = True if isinstance(asked, Put) else state
        if isinstance(asked, Remove):
            answer = asked.digest in state
        _, state = FilesOfOneName().step(state, asked, answer, False)
        if seed % 2 and step == 5:
            answer = not answer if isinstance(asked, Remove) else () if answer else ("d0",)
        called, returned = step - rng.random() * 3, step + rng.random() * 3
        is_open = isinstance(asked, Put) and rng.random() < 0.2
        history.append(
            Operation(called, math.inf if is_open else returned, asked, None if is_open else answer)
        )
    assert bool(check(FilesOfOneName(), history)) == any_order(history)


def test_many_operations_are_no_burden() -> None:
    rng = random.Random(1)
    history = []
    for step in range(2_000):
        history.append(put(step, step + rng.random() * 4, f"d{step}"))
        if step % 5 == 4:
            history += [remove(step, step + 0.5, f"d{step - back}") for back in range(5)]
    assert first_violation(history) is None
