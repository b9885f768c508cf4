"""Asks every worker for the events that it remembers. No leader is needed: a cluster without one is worth looking at."""

import json
from collections.abc import Callable
from typing import Any

from backend.addresses import Address, parse_address
from backend.client import ClusterClient
from backend.trace.causality import Event
from shared.errors import MinkaError, ProtocolViolation, Refused, Unreachable
from shared.messages import Trace

EVENTS_LIMIT = 100_000
"""Of one worker: more than any keeps."""


def collect(client: ClusterClient, report: Callable[[str], None]) -> tuple[dict[str, list[Event]], list[str]]:
    """The events by worker id, and what went wrong with those that could not be asked.

    Raises `Unreachable` when no worker answers at all.
    """
    tapes: dict[str, list[Event]] = {}
    problems: dict[Address, str] = {}
    waiting, seen = list(client.addresses), set(client.addresses)
    while waiting:
        address = waiting.pop(0)
        report(f"asking {address[0]}:{address[1]}")
        try:
            worker, events, peers = _ask(client, address)
        except MinkaError as error:
            problems[address] = error.reason
            continue
        tapes.setdefault(worker, events)
        for peer in peers:
            if peer not in seen:
                seen.add(peer)
                waiting.append(peer)
    if not tapes:
        raise Unreachable(f"No worker answered. {next(iter(problems.values()), '')}".strip())
    return tapes, list(problems.values())


def _ask(client: ClusterClient, address: Address) -> tuple[str, list[Event], list[Address]]:
    events: list[Event] = []
    while True:
        answer = client.call_worker(address, Trace(events[-1].number if events else 0))
        try:
            worker = str(answer.header["worker"])
            page = [_event(worker, row) for row in json.loads(answer.body)]
            peers = [parse_address(text) for text in answer.header["peers"].values()]
            more = bool(answer.header["more"]) and bool(page)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise ProtocolViolation(f"{address[0]}:{address[1]} told events that cannot be read.") from error
        events += page
        if len(events) > EVENTS_LIMIT:
            raise Refused(f"{worker} has too many events to tell.")
        if not more:
            return worker, events, peers


def _event(worker: str, row: list[Any]) -> Event:
    number, time_s, what, peer, name, told = row
    fields = {str(key): value for key, value in told.items() if isinstance(value, int | str)}
    return Event(
        worker, int(number), float(time_s), str(what), None if peer is None else str(peer), str(name), fields
    )
