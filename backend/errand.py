"""One request on its way to whoever leads, or to anyone: where to try, how long to wait, what a lost answer means.

A sweep tries the worker that led last, the ones that hints name, then all others. A worker that is silent is not
waited for beyond a part of the time: meanwhile the others are asked who leads, and whether the silent one is alive at
all. What any worker may answer goes to each in turn, and to the next one when that is gone. Between two sweeps there is
a pause that grows, with jitter, so that many clients do not come back at once.
"""

import random
import threading
import time
from dataclasses import dataclass
from typing import Any

from backend.addresses import Address, format_address, parse_address
from backend.connections import Connection, ConnectionPool
from backend.directory import WorkerDirectory
from shared.errors import (
    AccessDenied,
    Busy,
    MinkaError,
    NotLeader,
    OutcomeUnknown,
    ProtocolViolation,
    Refused,
    TimedOut,
    Unreachable,
    from_failure,
)
from shared.frames import Frame, FrameType
from shared.messages import Operation, Status

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 0.8
LONGEST_PATIENCE_S = 5.0
"""The longest wait for an answer before looking again whether the worker that owes it is alive."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The REPLY to a request: its header, its body, and the worker that gave it."""

    header: dict[str, Any]
    body: bytes
    address: Address


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client waits. All in seconds."""

    timeout_s: float
    """To find a leader that takes the request."""
    answer_s: float
    """For the answer of a leader that is alive."""

    @property
    def attempt_s(self) -> float:
        """For a first sign of life of one worker, in the first sweep."""
        return min(1.25, max(0.25, self.timeout_s / 8))


class Errand:
    """Carries one request, once; `run` returns its answer or raises."""

    def __init__(
        self,
        pool: ConnectionPool,
        directory: WorkerDirectory,
        patience: Patience,
        closing: threading.Event,
        *,
        anyone: bool = False,
    ) -> None:
        """With `anyone` the request is one that every worker answers, and that may be answered twice."""
        self.may_have_run = False
        """Whether the request reached a worker whose answer was lost."""
        self._pool = pool
        self._directory = directory
        self._patience = patience
        self._closing = closing
        self.anyone = anyone
        self._begun = self._searching_since = time.monotonic()
        self._attempt_s = patience.attempt_s
        self._heard: dict[Address, MinkaError] = {}

    def run(self, request: Operation, body: bytes, *, changes: bool) -> Answer:
        """Carry `request` to the leader. With `changes` it is a command, and must not seem to have failed when it has not.

        Raises what the leader answers (`Refused`, `TaskFailed`, ...), `AccessDenied`; after the timeout `Unreachable` when
        there is no leader, `Busy`, `TimedOut`, or `OutcomeUnknown` when a command was sent and its answer was lost.
        """
        pause_s = FIRST_PAUSE_S
        while True:
            answer = self._sweep(request, body)
            if answer is not None:
                return answer
            self._raise_if_hopeless()
            left_s = self._left_s()
            if left_s <= 0 or self._closing.wait(min(left_s, pause_s * random.uniform(0.5, 1.0))):
                raise self._failure(changes)
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
            self._attempt_s = min(LONGEST_PATIENCE_S, self._attempt_s * 1.5)

    def _sweep(self, request: Operation, body: bytes) -> Answer | None:
        """Ask all workers in turn until one of them answers as the leader."""
        tried: set[Address] = set()
        following = self._directory.any_to_try if self.anyone else self._directory.next_to_try
        while (address := following(tried)) is not None and not self._closing.is_set():
            tried.add(address)
            if tried != {address} and self._left_s() <= 0:
                return None
            try:
                connection = self._pool.take(address, max(0.05, min(self._attempt_s, self._left_s())))
            except (Unreachable, TimedOut, AccessDenied, ProtocolViolation, Refused, Busy) as error:
                self._note(address, error)
                continue
            answer = self._ask(connection, request, body)
            if answer is not None:
                return answer
        return None

    def _ask(self, connection: Connection, request: Operation, body: bytes) -> Answer | None:
        """The leader's answer; None if this worker does not lead, or is not heard of any more."""
        address = connection.address
        try:
            # A body is given time by its size: on a slow network the peer's silence does not mean that it is dead.
            number = connection.send(request, body, self._attempt_s + len(body) / 200_000)
        except MinkaError as error:
            self._pool.discard(connection)
            self._note(address, error)
            return None
        try:
            frame = self._await(connection, number, self._attempt_s + getattr(request, "wait_s", 0.0))
        except (Unreachable, TimedOut, ProtocolViolation) as error:
            self.may_have_run = True
            self._pool.discard(connection)
            self._note(address, error)
            return None
        except BaseException:
            self._pool.discard(connection)
            raise
        self._pool.give_back(connection)
        return self._read(frame, address)

    def _read(self, frame: Frame, address: Address) -> Answer | None:
        if frame.type is FrameType.REPLY:
            self._answered(address)
            return Answer(frame.header, frame.body, address)
        error = from_failure(frame.header)
        self._note(address, error)
        match error:
            case NotLeader():
                self._directory.heard_hint(address, error.leader)
            case Busy():
                pass
            case OutcomeUnknown() | TimedOut() | Unreachable():
                self.may_have_run = True
            case _:
                self._answered(address)
                raise error
        return None

    def _answered(self, address: Address) -> None:
        if not self.anyone:
            self._directory.found_leader(address)

    def _await(self, connection: Connection, number: int, patience_s: float) -> Frame:
        """The answer to request `number`, for as long as the worker is alive and no other one leads."""
        working_since = time.monotonic()
        answer_by = working_since + max(self._patience.answer_s, patience_s)
        while True:
            left_s = answer_by - time.monotonic()
            try:
                frame = connection.receive(number, max(0.0, min(patience_s, left_s)))
            except Unreachable:
                self._worked(working_since)
                raise
            except TimedOut:
                if left_s <= patience_s or self._closing.is_set():
                    raise
            else:
                self._worked(working_since)
                return frame
            moved = not self.anyone and self._leads_elsewhere(connection.address)
            alive = moved or self._alive(connection.address)
            if alive:
                working_since = self._worked(working_since)
            if moved or not alive:
                raise TimedOut(f"{format_address(connection.address)} does not answer any more.")
            patience_s = min(LONGEST_PATIENCE_S, patience_s * 2)

    def _worked(self, since: float) -> float:
        """A worker that lived had the request up to now, which is returned: nobody searched meanwhile."""
        now = time.monotonic()
        self._searching_since += now - since
        return now

    def _leads_elsewhere(self, silent: Address) -> bool:
        """Ask the other workers; what they say is remembered."""
        for address in self._directory.others(silent):
            leader = self._leader_according_to(address)
            if leader is not None:
                self._directory.heard_hint(address, format_address(leader))
                return leader != silent
        return False

    def _alive(self, address: Address) -> bool:
        """Whether the worker still takes part in a handshake: one that is stopped or cut off does not."""
        try:
            connection = self._pool.take(address, self._attempt_s, fresh=True)
        except MinkaError:
            return False
        self._pool.give_back(connection)
        return True

    def _leader_according_to(self, address: Address) -> Address | None:
        try:
            connection = self._pool.take(address, self._attempt_s)
        except MinkaError:
            return None
        try:
            frame = connection.receive(connection.send(Status(), b"", self._attempt_s), self._attempt_s)
        except MinkaError:
            self._pool.discard(connection)
            return None
        self._pool.give_back(connection)
        if frame.type is FrameType.REPLY:
            return address
        error = from_failure(frame.header)
        try:
            return parse_address(error.leader) if isinstance(error, NotLeader) and error.leader else None
        except Refused:
            return None

    def _left_s(self) -> float:
        """To find a leader. The time does not run while one that is alive has the request."""
        patience = self._patience
        until = min(self._searching_since, self._begun + patience.answer_s) + patience.timeout_s
        return until - time.monotonic()

    def _note(self, address: Address, error: MinkaError) -> None:
        self._heard[address] = error
        if self.anyone and isinstance(error, NotLeader | Unreachable | TimedOut):
            self._directory.was_useless(address)

    def _raise_if_hopeless(self) -> None:
        """Where somebody refuses us and nobody else is there, more time would not help."""
        refusals = [
            error
            for error in self._heard.values()
            if isinstance(error, AccessDenied | ProtocolViolation | Refused)
        ]
        others = [error for error in self._heard.values() if error not in refusals]
        if refusals and not self.may_have_run and all(isinstance(error, Unreachable) for error in others):
            raise refusals[0]

    def _failure(self, changes: bool) -> MinkaError:
        timeout_s, waited_s = self._patience.timeout_s, time.monotonic() - self._begun
        why = f"There was no answer from a leader within {waited_s:.1f} s."
        if self._closing.is_set():
            why = "This client was closed."
        said = " ".join(
            error.reason
            if format_address(address) in error.reason
            else f"{format_address(address)}: {error.reason}"
            for address, error in self._heard.items()
        )
        if self.may_have_run and changes:
            return OutcomeUnknown(
                f"{why} The command may or may not have taken effect.",
                "Look whether it did before you repeat it.",
            )
        if busy := [error for error in self._heard.values() if isinstance(error, Busy)]:
            return busy[0]
        if self._closing.is_set() or not self._heard:
            return Unreachable(why)
        if self.may_have_run:
            return TimedOut(f"{why} {said}", "Try again, or allow more time (--timeout).")
        if all(isinstance(error, Unreachable) for error in self._heard.values()):
            return Unreachable(
                f"No worker can be reached. {said}",
                'Start the workers first ("minka cluster up"), or check the addresses (--cluster).',
            )
        return Unreachable(
            f"No leader was found within {timeout_s:g} s. {said}",
            "More than half of the workers are needed: start the missing ones, or allow more time (--timeout).",
        )
