"""Events of workers whose clocks differ come into one order that no message contradicts."""

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from backend.trace.causality import Event, compare_clocks, match, merge

WORKERS = ("w1", "w2", "w3")


class World:
    """Workers that talk, with clocks that are wrong; it knows the truth."""

    def __init__(self, offsets: dict[str, float], seed: int = 1) -> None:
        self.offsets = offsets
        self.tapes: dict[str, list[Event]] = {worker: [] for worker in offsets}
        self.truth: dict[tuple[str, int], float] = {}
        self.random = random.Random(seed)
        self.now = 0.0

    def event(self, worker: str, at: float, what: str, peer: str | None = None, **fields: Any) -> Event:
        tape = self.tapes[worker]
        event = Event(worker, len(tape) + 1, at + self.offsets[worker], what, peer, "append", fields)
        self.truth[event.key] = at
        tape.append(event)
        return event

    def talk(self, messages: int, lost: float = 0.0, repeats: bool = False) -> dict[tuple[str, int], Event]:
        """Messages between any two; what was heard, and the sending of it. Each link keeps its order."""
        under_way: list[tuple[float, int, Event]] = []
        busy: dict[tuple[str, str], float] = {}
        pairs: dict[tuple[str, int], Event] = {}
        for number in range(messages):
            self.now += self.random.uniform(0.0001, 0.002)
            self._deliver(under_way, pairs, self.now)
            sender, receiver = self.random.sample(WORKERS, 2)
            sent = self.event(sender, self.now, "sent", receiver, index=number // 4 if repeats else number)
            arrives = max(self.now + self.random.uniform(0.0002, 0.003), busy.get((sender, receiver), 0.0))
            busy[sender, receiver] = arrives + 1e-6
            if self.random.random() >= lost:
                under_way.append((arrives, number, sent))
        self._deliver(under_way, pairs, float("inf"))
        return pairs

    def _deliver(
        self,
        under_way: list[tuple[float, int, Event]],
        pairs: dict[tuple[str, int], Event],
        until: float,
    ) -> None:
        under_way.sort()
        while under_way and under_way[0][0] <= until:
            arrives, _, sent = under_way.pop(0)
            assert sent.peer is not None
            heard = self.event(sent.peer, arrives, "heard", sent.worker, **sent.fields)
            pairs[heard.key] = sent


@settings(max_examples=60, deadline=None)
@given(
    offsets=st.lists(st.floats(-3600, 3600), min_size=3, max_size=3),
    seed=st.integers(0, 10_000),
    lost=st.sampled_from([0.0, 0.3]),
    repeats=st.booleans(),
)
def test_no_message_is_heard_before_it_was_sent(
    offsets: list[float], seed: int, lost: float, repeats: bool
) -> None:
    world = World(dict(zip(WORKERS, offsets, strict=True)), seed)
    world.talk(120, lost, repeats)
    steps, _ = merge(world.tapes)
    assert sorted(step.event.key for step in steps) == sorted(world.truth)
    for worker in WORKERS:
        assert [step.event for step in steps if step.event.worker == worker] == world.tapes[worker]
    for place, step in enumerate(steps):
        if step.partner >= 0:
            other = steps[step.partner]
            assert other.partner == place
            if step.event.what == "heard":
                assert step.partner < place
                assert other.time_s <= step.time_s
                assert other.event.fields == step.event.fields


def test_each_message_finds_its_sender() -> None:
    world = World({"w1": 0.0, "w2": 5.0, "w3": -7.0})
    pairs = world.talk(300, lost=0.2)
    assert match(world.tapes) == pairs


def test_clocks_are_told_apart_within_the_doubt() -> None:
    world = World({"w1": 0.0, "w2": 120.0, "w3": -0.75})
    world.talk(400)
    clocks = compare_clocks(world.tapes, match(world.tapes))
    for worker, clock in clocks.items():
        assert clock.doubt_s is not None
        assert clock.doubt_s < 0.005
        assert abs(clock.offset_s - world.offsets[worker]) <= clock.doubt_s + 1e-9


def test_a_worker_that_nobody_heard_is_there_with_a_clock_of_its_own() -> None:
    world = World({"w1": 0.0, "w2": 1.0, "w3": 0.0})
    world.event("w1", 1.0, "role", None, term=1)
    world.event("w2", 2.0, "applied", None, index=1)
    steps, clocks = merge(world.tapes)
    assert [step.event.worker for step in steps] == ["w1", "w2"]
    assert clocks["w2"].doubt_s is None


def test_a_sender_that_has_forgotten_the_beginning_still_finds_the_end() -> None:
    world = World({"w1": 0.0, "w2": 5.0, "w3": -7.0})
    pairs = world.talk(300)
    world.tapes["w1"] = world.tapes["w1"][60:]
    known = {event.key for tape in world.tapes.values() for event in tape}
    rest = {heard: sent for heard, sent in pairs.items() if heard in known and sent.key in known}
    assert match(world.tapes) == rest


def test_nothing_is_in_order() -> None:
    assert merge({}) == ([], {})
