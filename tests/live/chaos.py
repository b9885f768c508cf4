"""Clients that put, remove and list files of a live cluster while it suffers, and the record of what they asked and heard.

Every put has contents of its own, so that a listing tells which puts took effect, and how often. The record is what
`tests.linearizability` judges.
"""

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from random import Random
from types import TracebackType
from typing import Self

from backend.client import Answer, ClusterClient
from backend.transfers import upload
from shared import messages
from shared.errors import Busy, NoSpace, NotLeader, OutcomeUnknown, Refused, TimedOut, Unreachable
from shared.messages import INLINE_BYTES, PAGE_ROWS
from tests.linearizability.checker import Operation
from tests.linearizability.files import History, List, Put, Remove, first_violation
from tests.live.cluster import LiveCluster, wait_for, whole_on

NAMES = ("alpha", "beta", "gamma", "delta")
FILES_WANTED = 40
"""Clients that know of so many only remove: all files fit into one page, and so one listing is one read."""
TIMEOUTS_S = (1.5, 1.5, 6.0, 6.0)
"""One client each. The impatient ones give up on commands that may still take effect."""
PAUSE_S = 0.005
"""Between two requests of one client, on average."""
BETWEEN = 300
"""Operations that are answered between two faults: the cluster has recovered from the first."""
LARGE_BYTES = INLINE_BYTES + 20_000


class Record:
    """The history of all clients, which are threads of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._history = History()

    @property
    def operations(self) -> list[Operation]:
        with self._lock:
            return list(self._history.operations)

    def command(self, asked: Put | Remove, send: Callable[[], object], refusal: str | None = None) -> None:
        """Note what becomes of a command: True, False for a refusal with these words, or that nobody knows.

        An error of any other family promises that it was not carried out: it is no part of the history, and a listing that
        shows its effect is a violation.
        """
        called = time.monotonic()
        answer = True
        try:
            send()
        except OutcomeUnknown:
            with self._lock:
                self._history.never_answered(called, asked)
            return
        except (Busy, NoSpace, TimedOut, Unreachable) as error:
            print(f"not carried out: {asked}, called {called:.3f}: {error}")
            return
        except Refused as error:
            if refusal is None or refusal not in error.reason:
                raise
            answer = False
        returned = time.monotonic()
        with self._lock:
            self._history.answered(called, returned, asked, answer)

    def listing(self, ask: Callable[[], Answer]) -> dict[int, tuple[str, str]] | None:
        """Note what a listing says about every name; its files by id, each with name and digest. None without an answer."""
        called = time.monotonic()
        try:
            answer = ask().header
        except (Busy, NotLeader, TimedOut, Unreachable):
            return None
        returned = time.monotonic()
        assert not answer["more"], f"more than {PAGE_ROWS} files: several pages are not one read"
        files = {row["id"]: (row["name"], row["digest"]) for row in answer["files"]}
        with self._lock:
            for name in NAMES:
                listed = tuple(sorted(digest for named, digest in files.values() if named == name))
                self._history.answered(called, returned, List(name), listed)
        return files


class RecordingClient:
    """One thread's client. Most of what it asks goes to the leader; some listings to any worker that will answer."""

    def __init__(self, client: ClusterClient, record: Record, rng: Random) -> None:
        self._client = client
        self._record = record
        self._rng = rng
        self._files: dict[int, tuple[str, str]] = {}
        self._count = 0

    def close(self) -> None:
        """End what it is doing, whatever becomes of it."""
        self._client.close()

    def work(self, stop: threading.Event) -> None:
        with self._client:
            while not stop.wait(self._rng.expovariate(1 / PAUSE_S)):
                dice = self._rng.random()
                if dice < 0.4:
                    self._list()
                elif self._files and (dice < 0.65 or len(self._files) > FILES_WANTED):
                    self._remove()
                else:
                    self._put()

    def _put(self) -> None:
        self._count += 1
        body = f"{self._client.name} {self._count} {self._rng.random()}".encode()
        if self._rng.random() < 0.03:
            body = body.ljust(LARGE_BYTES)
        asked = Put(self._rng.choice(NAMES), hashlib.sha256(body).hexdigest())
        self._record.command(asked, lambda: upload(self._client, body, asked.name))

    def _remove(self) -> None:
        file = self._rng.choice(list(self._files))
        name, digest = self._files.pop(file)

        def send() -> object:
            return self._client.command(lambda ticket: messages.Remove(ticket, file))

        self._record.command(Remove(name, digest), send, refusal=f"no file {file}")

    def _list(self) -> None:
        request = messages.Files()
        if self._rng.random() < 0.1:
            worker = self._rng.choice(self._client.addresses)
            listed = self._record.listing(lambda: self._client.call_worker(worker, request))
        else:
            listed = self._record.listing(lambda: self._client.call(request))
        self._files = self._files if listed is None else listed


class Clients:
    """Recording clients at work, from entry to exit of the context."""

    def __init__(self, cluster: LiveCluster, rng: Random) -> None:
        self.cluster = cluster
        self.rng = rng
        self.record = Record()
        self._stop = threading.Event()
        self._threads = ThreadPoolExecutor(len(TIMEOUTS_S))
        self._clients = [
            RecordingClient(cluster.client(timeout_s, f"client-{number}"), self.record, Random(rng.random()))
            for number, timeout_s in enumerate(TIMEOUTS_S)
        ]
        self._work: list[Future[None]] = []

    def __enter__(self) -> Self:
        self._work = [self._threads.submit(client.work, self._stop) for client in self._clients]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if error is not None:
            for client in self._clients:
                client.close()
        self._threads.shutdown()
        if error is None:
            self._check()

    def go_on(self, operations: int) -> None:
        """Wait until so many more were answered."""
        wanted = len(self.record.operations) + operations

        def look() -> bool:
            self._check()
            return len(self.record.operations) >= wanted

        wait_for(f"{operations} more answers for the clients", look)

    def _check(self) -> None:
        """Raise what ended a client's thread before its time."""
        for work in self._work:
            if work.done():
                work.result()


def assert_consistent(cluster: LiveCluster, record: Record) -> None:
    """All workers come to be equal and hold everything, and the whole history makes sense, a last listing included."""
    status = cluster.ready()
    states = {(row["applied_index"], row["state_digest"]) for row in status["workers"]}
    assert len(states) == 1, f"the workers differ: {states}"
    with cluster.client() as client:
        files = record.listing(lambda: client.call(messages.Files()))
        assert files is not None, "the last listing failed"
        wait_for("all files whole on every worker", lambda: whole_on(client, cluster.ids))
    violation = first_violation(record.operations)
    if violation is not None:
        name, verdict = violation
        told = "\n".join(map(str, [*verdict.order[-20:], "then none of:", *verdict.stuck]))
        raise AssertionError(f"{name} is not linearizable. The longest order ends with:\n{told}")
    assert_listed_once(record.operations, [digest for _, digest in files.values()])


def assert_listed_once(operations: list[Operation], listed: list[str]) -> None:
    """Every acknowledged file that nobody asked to remove is listed once; none is whose removal was acknowledged."""
    counts = Counter(listed)
    put = {one.asked.digest for one in operations if isinstance(one.asked, Put) and one.answer}
    removals = [one for one in operations if isinstance(one.asked, Remove)]
    kept = put - {one.asked.digest for one in removals}
    wrong = {digest: counts[digest] for digest in kept if counts[digest] != 1}
    assert not wrong, f"acknowledged files are listed so often: {wrong}"
    back = counts.keys() & {one.asked.digest for one in removals if one.answer}
    assert not back, f"removed files are listed: {back}"
