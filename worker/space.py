"""What a full disk means: an alarm, no new things, and space that was set aside for what is under way and for deletions."""

from collections.abc import Callable

from shared.errors import NoSpace
from worker.loop import Loop
from worker.storage.disk import DiskFull
from worker.storage.reserve import Reserve
from worker.transfers import Transfers, as_refusal

LOOK_S = 5.0


class Space:
    """Watches over the reserve of this worker's disk."""

    def __init__(
        self, loop: Loop, transfers: Transfers, reserve: Reserve, log: Callable[[str], None]
    ) -> None:
        self._loop = loop
        self._transfers = transfers
        self._reserve = reserve
        self._log = log
        self._alarm: DiskFull | None = None

    def is_full(self, error: DiskFull) -> None:
        """The log was written only because the reserve was given up: until that is back, nothing new is taken."""
        if self._alarm is None:
            self._log(f"ALARM: {error}")
            self._loop.call_later(LOOK_S, self._look)
        self._alarm = error

    def check(self) -> None:
        """Raises `NoSpace` while the disk is full; before anything that makes the cluster hold more."""
        if self._alarm is not None:
            raise NoSpace("The leader's disk is full.", "Remove files, or free space on its disk.")

    def _look(self) -> None:
        def looked(held: bool | None, error: BaseException | None) -> None:
            if error is not None:
                as_refusal(error)  # a fault of ours is raised; a disk that fails goes on being full
            if held:
                self._alarm = None
                self._log("there is space on the disk again")
            else:
                self._loop.call_later(LOOK_S, self._look)

        self._transfers.run(self._reserve.restore, looked)
