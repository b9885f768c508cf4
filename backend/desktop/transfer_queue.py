"""Uploads and downloads that wait, run and have ended, with what a person wants to know of each. Thread-safe.

A few threads take them in order. The rows that the page gets are few whatever is queued: those that run, those that
failed, the next and the last ones; totals tell of the rest.
"""

import contextlib
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from backend.transfers import Cancelled
from shared.errors import Busy, MinkaError, Refused

WORKERS = 3
QUEUE_LIMIT = 20_000
ENDED_KEPT = 200
ROWS_SHOWN = 100
PUBLISH_S = 0.1
RATE_WINDOW_S = 3.0

State = Literal["waiting", "running", "done", "failed", "cancelled"]

log = logging.getLogger(__name__)


Progress = Callable[[int], None]
"""Takes the bytes done so far; raises `Cancelled`."""

Job = Callable[[Progress], dict[str, Any]]
"""Does the work, and returns fields for the row ("file": the id, or "path")."""


@dataclass(slots=True)
class Transfer:
    """One upload or download; guarded by the lock of its queue."""

    id: int
    kind: Literal["upload", "download"]
    name: str
    size_bytes: int
    job: Job
    forget: Callable[[], None]
    """Called once when the job will not be run again."""
    done_bytes: int = 0
    state: State = "waiting"
    error: MinkaError | None = None
    result: dict[str, Any] = field(default_factory=dict)
    cancelling: bool = False

    def row(self) -> dict[str, Any]:
        """As JSON."""
        error = self.error
        return {
            "id": self.id,
            "kind": self.kind,
            "name": self.name,
            "bytes": self.size_bytes,
            "done": self.done_bytes,
            "state": self.state,
            "error": None if error is None else {"reason": error.reason, "advice": error.advice},
            **self.result,
        }


class TransferQueue:
    """Runs transfers on `WORKERS` threads, which start with the first one."""

    def __init__(self, changed: Callable[[], None]) -> None:
        """`changed` is called when rows have changed, at most every `PUBLISH_S` for progress alone."""
        self._changed = changed
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._numbers = itertools.count(1)
        self._transfers: dict[int, Transfer] = {}
        self._waiting: deque[int] = deque()
        self._ended: deque[int] = deque()
        self._threads: list[threading.Thread] = []
        self._stopping = False
        self._told_at = 0.0
        self._moved: deque[tuple[float, int]] = deque()

    def add(
        self,
        kind: Literal["upload", "download"],
        name: str,
        size_bytes: int,
        job: Job,
        forget: Callable[[], None] = lambda: None,
    ) -> dict[str, Any]:
        """Queues a job and returns its row. Raises `Busy` when too many wait."""
        with self._lock:
            if self._stopping or len(self._waiting) >= QUEUE_LIMIT:
                raise Busy("Too many files are waiting already.", "Let some of them finish first.")
            transfer = Transfer(next(self._numbers), kind, name, size_bytes, job, forget)
            self._transfers[transfer.id] = transfer
            self._waiting.append(transfer.id)
            self._staff()
            self._work.notify()
            row = transfer.row()
        self._changed()
        return row

    def cancel(self, id: int) -> None:
        """Ends it at its next sign of progress. Raises `Refused` for an id that is not here."""
        with self._lock:
            transfer = self._find(id)
            transfer.cancelling = True
            if transfer.state == "waiting":
                self._waiting.remove(id)
                self._end(transfer, "cancelled")
        self._changed()

    def retry(self, id: int) -> None:
        """Queues one again that failed or was cancelled. Raises `Refused` for any other."""
        with self._lock:
            transfer = self._find(id)
            if transfer.state not in ("failed", "cancelled"):
                raise Refused("Only a transfer that failed or was cancelled can be tried again.")
            self._ended.remove(id)
            transfer.state, transfer.error, transfer.done_bytes = "waiting", None, 0
            transfer.cancelling = False
            self._waiting.append(id)
            self._staff()
            self._work.notify()
        self._changed()

    def stop(self) -> None:
        """Cancels all that wait or run."""
        with self._lock:
            for transfer in list(self._transfers.values()):
                if transfer.state == "waiting":
                    self._end(transfer, "cancelled")
                transfer.cancelling = transfer.cancelling or transfer.state == "running"
            self._waiting.clear()
        self._changed()

    def again(self) -> None:
        """Queues all again that failed."""
        with self._lock:
            failed = [transfer.id for transfer in self._transfers.values() if transfer.state == "failed"]
        for id in failed:
            with contextlib.suppress(Refused):  # somebody else was quicker
                self.retry(id)

    def clear(self) -> None:
        """Forgets those that have ended."""
        with self._lock:
            gone = [self._transfers.pop(id) for id in self._ended]
            self._ended.clear()
        for transfer in gone:
            transfer.forget()
        self._changed()

    def summary(self) -> dict[str, Any]:
        """{"rows": [...], "waiting", "running", "done", "failed", "bytes", "done_bytes", "rate"}; rate in bytes/s.

        Bytes are those of the transfers that have not ended yet.
        """
        with self._lock:
            counts = dict.fromkeys(("waiting", "running", "done", "failed", "cancelled"), 0)
            shown: dict[str, list[Transfer]] = {state: [] for state in counts}
            total = done = 0
            for transfer in self._transfers.values():
                counts[transfer.state] += 1
                shown[transfer.state].append(transfer)
                if transfer.state in ("waiting", "running"):
                    total += transfer.size_bytes
                    done += transfer.done_bytes
            rows = [*shown["running"], *shown["failed"], *shown["waiting"][:ROWS_SHOWN]]
            rows += [*reversed(shown["done"]), *shown["cancelled"]]
            return {
                "rows": [transfer.row() for transfer in rows[:ROWS_SHOWN]],
                **counts,
                "bytes": total,
                "done_bytes": done,
                "rate": self._rate(),
            }

    def close(self) -> None:
        """Cancels everything; returns when the threads have ended. Close the client first, so that none is stuck."""
        with self._lock:
            self._stopping = True
            self._waiting.clear()
            for transfer in self._transfers.values():
                transfer.cancelling = True
            self._work.notify_all()
        for thread in self._threads:
            thread.join()
        for transfer in self._transfers.values():
            transfer.forget()

    # The rest is called with the lock held, but for `_run` and `_advance`.

    def _staff(self) -> None:
        if len(self._threads) < WORKERS:
            name = f"transfer-{len(self._threads) + 1}"
            thread = threading.Thread(target=self._serve, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _find(self, id: int) -> Transfer:
        if id not in self._transfers:
            raise Refused("This transfer is not in the list any more.")
        return self._transfers[id]

    def _end(self, transfer: Transfer, state: State, error: MinkaError | None = None) -> None:
        transfer.state, transfer.error = state, error
        self._ended.append(transfer.id)
        if len(self._ended) > ENDED_KEPT:
            self._transfers.pop(self._ended.popleft()).forget()

    def _rate(self) -> float:
        now = time.monotonic()
        while self._moved and self._moved[0][0] < now - RATE_WINDOW_S:
            self._moved.popleft()
        if not self._moved:
            return 0.0
        return sum(size for _, size in self._moved) / max(0.2, now - self._moved[0][0])

    def _serve(self) -> None:
        while True:
            with self._lock:
                while not self._waiting and not self._stopping:
                    self._work.wait()
                if self._stopping:
                    return
                transfer = self._transfers[self._waiting.popleft()]
                transfer.state = "running"
            self._changed()
            self._run(transfer)
            self._changed()

    def _run(self, transfer: Transfer) -> None:
        state: State = "done"
        error: MinkaError | None = None
        result: dict[str, Any] = {}
        try:
            result = transfer.job(lambda done_bytes: self._advance(transfer, done_bytes))
        except Cancelled:
            state = "cancelled"
        except MinkaError as failure:
            state, error = "failed", failure
        except OSError as failure:
            state, error = "failed", MinkaError(f"{transfer.name}: {failure.strerror or failure}.")
        except Exception as failure:
            log.exception("the transfer of %s failed", transfer.name)
            state, error = "failed", MinkaError(f"{transfer.name}: {failure}", "This is a fault of Minka.")
        with self._lock:
            if state == "done":
                transfer.done_bytes = transfer.size_bytes
                transfer.result = result
            self._end(transfer, state, error)

    def _advance(self, transfer: Transfer, done_bytes: int) -> None:
        now = time.monotonic()
        with self._lock:
            if transfer.cancelling:
                raise Cancelled
            if done_bytes > transfer.done_bytes:
                self._moved.append((now, done_bytes - transfer.done_bytes))
            transfer.done_bytes = done_bytes
            tell = now - self._told_at >= PUBLISH_S
            if tell:
                self._told_at = now
        if tell:
            self._changed()
