"""The cluster client: requests to whoever leads, found from any worker; commands exactly once."""

import getpass
import socket
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from backend.addresses import Address
from backend.connections import ConnectionPool
from backend.directory import WorkerDirectory
from backend.errand import Answer, Errand, Patience
from backend.session import TicketBook
from shared.errors import (
    BytesMissing,
    MinkaError,
    NoSpace,
    OutcomeUnknown,
    Refused,
    SessionExpired,
    from_failure,
)
from shared.frames import FrameType
from shared.handshake import MAX_IDENTITY_BYTES, Introduction
from shared.messages import OpenSession, Operation, Status, Ticket

__all__ = ["Answer", "ClusterClient", "client_name"]


def client_name() -> str:
    """How this user appears in the cluster's records: user@host."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):
        user = "somebody"
    return f"{user}@{socket.gethostname()}"


class ClusterClient:
    """Requests to a cluster, from any number of threads.

    Each request takes a connection of its own while it is under way; connections are kept open for the next ones.
    Errors are those of `shared.errors`: `Unreachable` when no leader is found within the timeout, `OutcomeUnknown` when
    a command's answer was lost for good.
    """

    def __init__(
        self, addresses: Sequence[Address], key: bytes, timeout_s: float = 10.0, name: str = ""
    ) -> None:
        """`key` is the cluster's client key, 32 bytes; `name` (default: user@host) appears in the records."""
        self.name = _identity(name or client_name())
        self.timeout_s = timeout_s
        self._directory = WorkerDirectory(addresses)
        self._pool = ConnectionPool(Introduction("client", self.name, "client", ""), key)
        self._tickets = TicketBook(self._open_session)
        self._closing = threading.Event()
        self._learning = threading.Lock()
        self._learned_from: Address | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def leader(self) -> Address | None:
        """The worker that led when last heard of."""
        return self._directory.leader

    @property
    def addresses(self) -> tuple[Address, ...]:
        """All workers known by now: those given, and those that the cluster has named."""
        return self._directory.addresses

    def call(self, request: Operation, body: bytes = b"", *, answer_s: float | None = None) -> Answer:
        """The leader's answer to a request that changes nothing, or that may be carried out twice.

        A leader that is alive is given `answer_s` seconds (default: the timeout) beyond the request's own ``wait_s``.
        Raises `Unreachable`, `TimedOut`, `Busy` after the timeout, and whatever the leader answers.
        """
        return self._carry(self._errand(request, answer_s), request, body, changes=False)

    def call_any(self, request: Operation, body: bytes = b"", *, answer_s: float | None = None) -> Answer:
        """As `call`, of a request that every worker answers: the workers are asked in turn, a dead one is passed over."""
        return self._carry(self._errand(request, answer_s, anyone=True), request, body, changes=False)

    def command(
        self,
        make: Callable[[Ticket], Operation],
        body: bytes = b"",
        *,
        answer_s: float | None = None,
        repair: Callable[[Refused], bool] | None = None,
    ) -> Answer:
        """The answer to a command, which is carried out exactly once; `make` puts the ticket into it.

        When an answer is lost the same ticket is sent again, to the next leader if need be; and also when the leader lacks
        bytes or space and `repair` says that it has removed the reason. Raises as `call`, and `OutcomeUnknown` when it
        cannot be told any more whether the command was carried out.
        """
        for last_try in (False, True):
            ticket = self._tickets.take()
            request = make(ticket)
            errand = self._errand(request, answer_s)
            try:
                while True:
                    try:
                        return self._carry(errand, request, body, changes=True)
                    except (BytesMissing, NoSpace) as refusal:
                        _overcome(refusal, repair, errand)
                    errand = self._errand(request, answer_s, errand)
            except SessionExpired as error:
                self._tickets.forget(ticket.session)
                if errand.may_have_run:
                    raise OutcomeUnknown(
                        "The answer to a command was lost, and its session has ended since.",
                        "Look whether it took effect before you repeat it.",
                    ) from error
                if last_try:
                    raise
            finally:
                self._tickets.settle(ticket)
        raise AssertionError("unreachable")

    def call_worker(self, address: Address, request: Operation, *, answer_s: float | None = None) -> Answer:
        """The answer of one certain worker to a request that any of them may answer.

        Raises `Unreachable`, `TimedOut`, and whatever that worker answers, `NotLeader` among it.
        """
        answer_s = self.timeout_s if answer_s is None else answer_s
        connection = self._pool.take(address, self.timeout_s)
        try:
            number = connection.send(request, b"", answer_s)
            frame = connection.receive(number, answer_s)
        except BaseException:
            self._pool.discard(connection)
            raise
        self._pool.give_back(connection)
        if frame.type is FrameType.FAILURE:
            raise from_failure(frame.header)
        return Answer(frame.header, frame.body, address)

    def status(self) -> dict[str, Any]:
        """The cluster as its leader sees it: the answer to `Status`."""
        return self.call(Status()).header

    def close(self) -> None:
        """Close all connections; requests under way in other threads end with an error."""
        self._closing.set()
        self._pool.close()

    def _errand(
        self,
        request: Operation,
        answer_s: float | None,
        earlier: Errand | None = None,
        *,
        anyone: bool = False,
    ) -> Errand:
        answer_s = self.timeout_s if answer_s is None else answer_s
        patience = Patience(self.timeout_s, answer_s + getattr(request, "wait_s", 0.0))
        errand = Errand(self._pool, self._directory, patience, self._closing, anyone=anyone)
        errand.may_have_run = earlier is not None and earlier.may_have_run
        return errand

    def _carry(self, errand: Errand, request: Operation, body: bytes, *, changes: bool) -> Answer:
        answer = errand.run(request, body, changes=changes)
        if isinstance(request, Status):
            self._learn(answer)
        elif answer.address != self._learned_from and not (errand.anyone and self._learned_from):
            self._ask_for_addresses(answer.address)
        return answer

    def _ask_for_addresses(self, leader: Address) -> None:
        """Once for each new leader, so that the deaths of the workers known so far do not matter."""
        if not self._learning.acquire(blocking=False):
            return
        try:
            self._learned_from = leader
            errand = Errand(
                self._pool, self._directory, Patience(min(1.0, self.timeout_s), 1.0), self._closing
            )
            self._learn(errand.run(Status(), b"", changes=False))
        except MinkaError:
            self._learned_from = None
        finally:
            self._learning.release()

    def _learn(self, status: Answer) -> None:
        self._learned_from = status.address
        rows = status.header.get("workers", [])
        self._directory.learn(str(row.get("address", "")) for row in rows if isinstance(row, dict))

    def _open_session(self) -> int:
        return int(self.call(OpenSession(self.name)).header["session"])


def _overcome(refusal: Refused, repair: Callable[[Refused], bool] | None, errand: Errand) -> None:
    """Remove the reason of a refusal that was made without a look at the ticket, or raise what is to be told then."""
    try:
        if repair is None or not repair(refusal):
            raise refusal
    except MinkaError as error:
        if not errand.may_have_run:
            raise
        raise OutcomeUnknown(
            f"The answer to a command was lost, and it cannot be sent again: {error.reason}",
            "Look whether it took effect before you repeat it.",
        ) from error


def _identity(name: str) -> str:
    """`name` as a text of UTF-8 that fits into a handshake."""
    return name.encode("utf-8", "replace")[:MAX_IDENTITY_BYTES].decode("utf-8", "ignore")
