"""The log-writer thread: takes all that waits, makes it durable with one sync, says so, and again (group commit)."""

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from shared.errors import Busy
from worker.storage.disk import DiskFull
from worker.storage.log import Batch, EntryLog
from worker.storage.reserve import Reserve

QUEUE_BYTES = 64 * 1_048_576
QUEUE_BATCHES = 4_096
GROUP_BYTES = 8 * 1_048_576
"""The most that goes into one write, so that the first of many large batches is not kept waiting."""

Token = TypeVar("Token")


class LogWriter(Generic[Token]):
    """Owns ``log.write`` from construction to `close`.

    Three functions are called from this thread, must not block, and should only hand over and wake the node thread:
    ``done(tokens)`` for batches that are durable, in the order of `submit`; ``failed(error)`` once, after which nothing
    more is written and the process must end; ``full(error)`` when the disk was full and the reserve was given up for a
    write that then succeeded: no new commands but deletions may be accepted.
    """

    def __init__(
        self,
        log: EntryLog,
        done: Callable[[Sequence[Token]], None],
        failed: Callable[[Exception], None],
        full: Callable[[DiskFull], None],
        reserve: Reserve | None = None,
    ) -> None:
        self._log = log
        self._done = done
        self._failed = failed
        self._full = full
        self._reserve = reserve
        self._queue: SimpleQueue[tuple[Batch, Token] | None] = SimpleQueue()
        # Each counter has one writer; their difference needs no lock.
        self._submitted = [0, 0]
        self._written = [0, 0]
        self._closed = False
        # A daemon: when the node thread dies, the process ends, and what was being written is a torn tail.
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    @property
    def waiting_bytes(self) -> int:
        """How much has been submitted and is not durable yet."""
        return self._submitted[1] - self._written[1]

    @property
    def has_room(self) -> bool:
        """Whether another batch may be submitted: to be asked before the core's next `Ready` is taken."""
        waiting = self._submitted[0] - self._written[0]
        return waiting < QUEUE_BATCHES and self.waiting_bytes < QUEUE_BYTES

    def submit(self, batch: Batch, token: Token) -> None:
        """Queue a batch (node thread); `Busy`, and nothing is queued, without `has_room`.

        A batch with nothing in it keeps its place in the order, and costs no write.
        """
        assert not self._closed, "submit after close"
        if not self.has_room:
            raise Busy("The disk cannot keep up: too much waits to be written.", "Try again in a moment.")
        self._submitted[0] += 1
        self._submitted[1] += batch.size_bytes
        self._queue.put((batch, token))

    def close(self) -> None:
        """Write all that waits, then end the thread (node thread). The log stays open."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            while group := self._next_group():
                self._write([batch for batch, _ in group])
                self._written[0] += len(group)
                self._written[1] += sum(batch.size_bytes for batch, _ in group)
                self._done([token for _, token in group])
                if self._queue.empty():
                    self._log.mark()
        except Exception as error:
            self._failed(error)

    def _next_group(self) -> list[tuple[Batch, Token]]:
        """All that waits, at least one; nothing once closed and drained."""
        item = self._queue.get()
        group: list[tuple[Batch, Token]] = []
        size_bytes = 0
        while item is not None:
            group.append(item)
            size_bytes += item[0].size_bytes
            if size_bytes >= GROUP_BYTES:
                return group
            try:
                item = self._queue.get_nowait()
            except Empty:
                return group
        if group:
            self._queue.put(None)  # the end, for the next call
        return group

    def _write(self, batches: list[Batch]) -> None:
        try:
            self._log.write(batches)
        except DiskFull as error:
            if self._reserve is None or not self._reserve.release():
                raise
            self._log.write(batches)
            self._full(error)
