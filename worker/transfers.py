"""The transfer threads: disk reads, disk writes and hashing of bulk data, off the consensus path.

What they do releases the interpreter's lock. Results come back to the node thread through `Loop.post`.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from shared.errors import Busy, MinkaError, Refused
from worker.loop import Loop
from worker.storage.disk import DiskFailed

THREADS = 3

T = TypeVar("T")
Finished = Callable[[Any, BaseException | None], None]
"""Hears the result, or None and the exception."""


class Transfers:
    """A few threads, and the way back from them."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="transfer")

    def run(self, work: Callable[[], Any], finished: Finished) -> None:
        """Run `work` in a transfer thread, then `finished` in the node thread."""

        def task() -> None:
            result, error = None, None
            try:
                result = work()
            except BaseException as caught:
                error = caught
            self._loop.post(lambda: finished(result, error))

        self._pool.submit(task)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def as_refusal(error: BaseException) -> MinkaError:
    """What a peer or client is told of an error in a transfer thread; our own bugs are raised on."""
    if isinstance(error, DiskFailed):  # its log's turn comes, and ends this worker: another one will do
        return Busy(error.reason, "Try again: another worker may lead meanwhile.")
    if isinstance(error, MinkaError):
        return error
    if isinstance(error, OSError):
        return Refused(f"The disk of this worker failed: {error.strerror or error}.")
    raise error


class Lane:
    """Work that must happen one after the other, such as the chunks of one blob."""

    def __init__(self, transfers: Transfers) -> None:
        self._transfers = transfers
        self._waiting: deque[tuple[Callable[[], Any], Finished]] = deque()
        self._busy = False

    @property
    def idle(self) -> bool:
        """Nothing runs, and nothing waits."""
        return not self._busy

    @property
    def waiting(self) -> int:
        """How much waits behind what runs."""
        return len(self._waiting)

    def run(self, work: Callable[[], Any], finished: Finished) -> None:
        self._waiting.append((work, finished))
        if not self._busy:
            self._next()

    def _next(self) -> None:
        self._busy = bool(self._waiting)
        if not self._waiting:
            return
        work, finished = self._waiting.popleft()

        def then(result: Any, error: BaseException | None) -> None:
            finished(result, error)
            self._next()

        self._transfers.run(work, then)
