"""The log writer without its thread: the same duties in the same order, at times that the simulation gives."""

from collections import deque
from typing import TYPE_CHECKING, Any

from worker.storage.disk import DiskFailed, DiskFull
from worker.storage.log import EntryLog
from worker.storage.reserve import Reserve

if TYPE_CHECKING:
    from tests.simulator.server import Server


class Writer:
    """Stands for `worker.storage.writer.LogWriter`: a batch waits, is written with all others that wait, is reported.

    Writing takes effect on the disk at once, in the middle of the time it takes: a crash may come before, within or after.
    """

    def __init__(self, server: "Server", log: EntryLog, reserve: Reserve) -> None:
        self._server = server
        self._log = log
        self._reserve = reserve
        self._waiting: deque[tuple[Any, int]] = deque()
        self._group: list[tuple[Any, int]] = []

    @property
    def busy(self) -> bool:
        return bool(self._group)

    def submit(self, batch: Any, number: int) -> None:
        self._waiting.append((batch, number))
        if not self._group:
            self._begin()

    def _begin(self) -> None:
        self._group = list(self._waiting)
        self._waiting.clear()
        self._server.later(self._server.write_s(), self._write)

    def _write(self) -> None:
        try:
            self.touch_disk()
        except (DiskFailed, DiskFull) as error:
            self._server.end(f"the disk: {type(error).__name__}")
            return
        self._server.later(self._server.hand_over_s(), self._done)

    def touch_disk(self) -> None:
        """What the thread does to the disk for the group; raises what the real one would report as failed."""
        batches = [batch for batch, _ in self._group]
        try:
            self._log.write(batches)
        except DiskFull:
            if not self._reserve.release():
                raise
            self._log.write(batches)
            self._server.note("gives its reserve up")

    def _done(self) -> None:
        group, self._group = self._group, []
        try:
            if self._waiting:
                self._begin()
            else:
                self._log.mark()
        except DiskFailed:
            self._server.end("the disk: DiskFailed")
            return
        self._server.persisted(group)
