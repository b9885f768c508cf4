"""Answers that wait for something to happen: the next record, the next round of a model.

A waiting request costs its place in a list and a timer; there are at most `WAITING_LIMIT`.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.errors import Busy, MinkaError
from shared.messages import PAGE_ROWS
from worker.connections import Request
from worker.loop import Loop, Timer
from worker.registry.rows import ModelRow, RecordRow, thinned
from worker.storage.disk import DiskFull
from worker.storage.records import RecordFile
from worker.training.job import Job

WAITING_LIMIT = 4_096
DISK_RETRY_S = 5.0


@dataclass(slots=True, eq=False)
class _Wait:
    """One request that waits for its own condition, or its timer."""

    due: Callable[[], bool]
    answer: Callable[[], None]
    timer: Timer


class _Waiting:
    """Requests that wait."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._waits: list[_Wait] = []

    def add(
        self, request: Request, due: Callable[[], bool], answer: Callable[[], None], wait_s: float
    ) -> None:
        """Call `answer` once `due` is true at a `look`, or after `wait_s` seconds."""
        if len(self._waits) >= WAITING_LIMIT:
            request.fail(Busy("Too many requests wait on this worker.", "Try again in a moment."))
            return

        def late() -> None:
            self._waits.remove(wait)
            answer()

        wait = _Wait(due, answer, self._loop.call_later(wait_s, late))
        self._waits.append(wait)

    def look(self) -> None:
        """Answer those whose condition is true now."""
        if not self._waits:
            return
        looked_at, self._waits = self._waits, []
        due: list[_Wait] = []
        for wait in looked_at:
            (due if wait.due() else self._waits).append(wait)
        for wait in due:
            wait.timer.cancel()
            wait.answer()


class Records:
    """The records of this worker, and who waits for the next one."""

    def __init__(self, loop: Loop, file: RecordFile, log: Callable[[str], None]) -> None:
        self._loop = loop
        self._file = file
        self._log = log
        self._fresh: deque[RecordRow] = deque()
        self._retry_at = 0.0
        self._waiting = _Waiting(loop)

    def add(self, records: Iterable[RecordRow]) -> None:
        """Keep these records; they are written at the end of this turn."""
        self._fresh += records

    def flush(self) -> None:
        """Write the turn's records, and answer who waits for them. On a full disk they wait; the log has them."""
        if not self._fresh or self._loop.now < self._retry_at:
            return
        try:
            self._file.append(record.public() for record in self._fresh)
        except DiskFull as full:
            self._retry_at = self._loop.now + DISK_RETRY_S
            self._log(f"ALARM: {full}")
            return
        self._fresh.clear()
        self._waiting.look()

    def tail(self, count: int) -> list[dict[str, Any]]:
        return self._file.tail(count)

    @property
    def last(self) -> int:
        """The number of the last record that is written."""
        return self._file.last

    def page(self, after: int) -> list[dict[str, Any]]:
        """Some records after number `after`, for a worker that lacks them."""
        return self._file.read(after, PAGE_ROWS)

    def mend(self, rows: list[dict[str, Any]]) -> None:
        """Take records that another worker has made."""
        self._file.append(rows)

    def sync(self) -> int:
        """Make durable what is written, on a transfer thread; the number of the last such record."""
        last = self._file.last
        self._file.sync()
        return last

    def answer(self, request: Request, after: int, tail: int | None, wait_s: float) -> None:
        """Answer with the records after number `after`, or the last `tail`; wait for one if there is none."""
        self.flush()

        def reply() -> None:
            try:
                rows = (
                    self._file.tail(min(tail, PAGE_ROWS))
                    if tail is not None
                    else self._file.read(after, PAGE_ROWS)
                )
            except MinkaError as damage:
                request.fail(damage)
            else:
                request.reply({"records": rows, "last": self._file.last})

        if tail is None and wait_s > 0 and self._file.last <= after:
            self._waiting.add(request, lambda: self._file.last > after, reply, wait_s)
        else:
            reply()


class ModelWatchers:
    """Shows models as they are at this moment: the row of the log, and the live round of a job that runs here."""

    def __init__(self, loop: Loop, jobs: Mapping[str, Job]) -> None:
        self._jobs = jobs
        self._waiting = _Waiting(loop)

    def summary(self, model: ModelRow) -> dict[str, Any]:
        """The row of `minka models`, with the progress of this moment."""
        job = self._jobs.get(model.id)
        row = model.summary()
        if job is not None and job.live and model.rounds:
            row["progress"] = job.round / model.rounds
            row["test_accuracy"] = job.live["test_accuracy"]
        return row

    def version(self, model: ModelRow) -> int:
        """Another number whenever there is something new to see."""
        job = self._jobs.get(model.id)
        return model.version * 1_000_000 + (job.round if job is not None else 0)

    def answer(self, request: Request, model: ModelRow, seen: int | None, wait_s: float) -> None:
        """Answer with all about `model`, once that is not what was `seen` any more."""

        def reply() -> None:
            job = self._jobs.get(model.id)
            shown = model.public() | self.summary(model) | {"version": self.version(model)}
            if job is not None and job.live:
                shown |= {"round": job.round, "images_per_second": job.live["images_per_second"]}
                shown |= {"loss": job.live["loss"], "work": dict(job.work), "seconds": job.seconds}
                shown |= {name: job.live[name] for name in ("computing_s", "travelling_s")}
                shown["history"] = thinned([*model.history, *job.fresh_history()])
            request.reply({"model": shown})

        if seen is not None and wait_s > 0 and self.version(model) == seen:
            self._waiting.add(request, lambda: self.version(model) != seen, reply, wait_s)
        else:
            reply()

    def look(self) -> None:
        """Something may have moved."""
        self._waiting.look()
