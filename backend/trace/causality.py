"""One order for the events of several workers, whose clocks differ.

A message is heard after it was sent, and each worker's own events are in order (Lamport, "Time, Clocks, and the Ordering
of Events in a Distributed System", 1978): that is certain, and kept. Among events that this leaves open, time decides, each
clock corrected by what the messages between two workers say of it (Cristian, "Probabilistic clock synchronization", 1989):
the fastest message there and the fastest back bound the difference from both sides.
"""

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """One event of one worker. ``what`` is "sent", "heard", "role" or "applied"; ``time_s`` is of that worker's clock."""

    worker: str
    number: int
    time_s: float
    what: str
    peer: str | None
    name: str
    fields: Mapping[str, Any]

    @property
    def key(self) -> "Key":
        return self.worker, self.number


@dataclass(frozen=True, slots=True)
class Clock:
    """``offset_s`` is to be taken off a worker's times; the truth is at most ``doubt_s`` away, None: nothing is known."""

    offset_s: float
    doubt_s: float | None


@dataclass(frozen=True, slots=True)
class Step:
    """An event in the common order, at a time of the reference clock; ``partner`` is the place of the other end of a
    message, -1 where there is none: it was lost, is under way, or its worker has forgotten it."""

    event: Event
    time_s: float
    partner: int


Tapes = Mapping[str, Sequence[Event]]
Key = tuple[str, int]
"""What names an event: worker and number."""
Sent = Mapping[Key, Event]
"""The sent event of a heard one."""


def merge(tapes: Tapes) -> tuple[list[Step], dict[str, Clock]]:
    """All events in one order, and the workers' clocks; the first worker in order of id has the reference clock."""
    sent_of = match(tapes)
    clocks = compare_clocks(tapes, sent_of)
    order = _in_order(tapes, sent_of, clocks)
    place = {event.key: number for number, (event, _) in enumerate(order)}
    partner: dict[int, int] = {}
    for heard, sent in sent_of.items():
        if place[sent.key] < place[heard]:  # else: paired wrongly, with an equal message that came later
            partner[place[heard]] = place[sent.key]
            partner[place[sent.key]] = place[heard]
    steps = [Step(event, time_s, partner.get(number, -1)) for number, (event, time_s) in enumerate(order)]
    return steps, clocks


def match(tapes: Tapes) -> dict[Key, Event]:
    """The sent event of each heard one that has one.

    A link keeps the order of what it carries, and loses some. Equal messages are paired from the end, because both
    workers remember the end; a pair that would cross another on the same link is none.
    """
    sent: dict[tuple[Any, ...], list[Event]] = defaultdict(list)
    heard: dict[tuple[Any, ...], list[Event]] = defaultdict(list)
    for worker, events in tapes.items():
        for event in events:
            if event.what == "sent":
                sent[(worker, event.peer, event.name, *sorted(event.fields.items()))].append(event)
            elif event.what == "heard":
                heard[(event.peer, worker, event.name, *sorted(event.fields.items()))].append(event)
    pairs: dict[tuple[Any, Any], list[tuple[Event, Event]]] = defaultdict(list)
    for key, received in heard.items():
        for one, other in zip(reversed(received), reversed(sent.get(key, [])), strict=False):
            pairs[key[0], key[1]].append((one, other))
    found: dict[Key, Event] = {}
    for link in pairs.values():
        link.sort(key=lambda pair: pair[0].number, reverse=True)
        earliest = float("inf")
        for one, other in link:
            if other.number < earliest:
                earliest = other.number
                found[one.key] = other
    return found


def compare_clocks(tapes: Tapes, sent_of: Sent) -> dict[str, Clock]:
    """Each worker's clock against that of the first, over the links that bound it best."""
    fastest: dict[tuple[str, str], float] = {}
    for events in tapes.values():
        for heard in events:
            sent = sent_of.get(heard.key)
            if sent is not None:
                link = (sent.worker, heard.worker)
                fastest[link] = min(fastest.get(link, float("inf")), heard.time_s - sent.time_s)
    workers = sorted(tapes)
    clocks: dict[str, Clock] = {}
    near: list[tuple[float, str, float]] = [(0.0, workers[0], 0.0)] if workers else []
    while near:
        doubt_s, worker, offset_s = heapq.heappop(near)
        if worker in clocks:
            continue
        clocks[worker] = Clock(offset_s, doubt_s)
        for other in workers:
            there, back = fastest.get((worker, other)), fastest.get((other, worker))
            if other not in clocks and there is not None and back is not None:
                further_s = doubt_s + max(0.0, (there + back) / 2)
                heapq.heappush(near, (further_s, other, offset_s + (there - back) / 2))
    return clocks | {worker: Clock(0.0, None) for worker in workers if worker not in clocks}


def _in_order(tapes: Tapes, sent_of: Sent, clocks: Mapping[str, Clock]) -> list[tuple[Event, float]]:
    """Every event once, no message heard before it was sent, with times that never run backwards along a cause."""
    order: list[tuple[Event, float]] = []
    at = dict.fromkeys(tapes, 0)
    latest = dict.fromkeys(tapes, float("-inf"))
    said: dict[Key, float] = {}

    def is_free(event: Event) -> bool:
        cause = sent_of.get(event.key)
        return cause is None or cause.key in said

    while heads := [tapes[worker][place] for worker, place in at.items() if place < len(tapes[worker])]:
        # None is free where two messages were paired wrongly, so that each seems to cause the other.
        free = [event for event in heads if is_free(event)] or heads
        event = min(free, key=lambda one: one.time_s - clocks[one.worker].offset_s)
        worker, cause = event.worker, sent_of.get(event.key)
        begun = said.get(cause.key, float("-inf")) if cause is not None else float("-inf")
        moment = max(event.time_s - clocks[worker].offset_s, latest[worker], begun)
        at[worker] += 1
        latest[worker] = said[event.key] = moment
        order.append((event, moment))
    return order
