"""The node thread's event loop: sockets, timers, and results that other threads bring.

Everything that the node owns is touched only from the thread that runs this loop, so nothing of it needs a lock. Other
threads have one door: `post`.
"""

import heapq
import itertools
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

HELD_UP_S = 0.5
"""A turn that takes longer, or a sleep that lasts so much too long, is worth a word: elections follow from it."""

Callback = Callable[[], None]


@dataclass(slots=True, order=True)
class Timer:
    """A call at a moment of the loop's clock; `cancel` forgets it."""

    due: float
    order: int
    callback: Callback | None = field(compare=False)

    def cancel(self) -> None:
        self.callback = None


class Loop:
    """One `selectors` loop. `now` is the monotonic clock in seconds, read once a turn."""

    def __init__(self) -> None:
        self.now = time.monotonic()
        self._selector = selectors.DefaultSelector()
        self._timers: list[Timer] = []
        self._order = itertools.count()
        self._posted: deque[Callback] = deque()
        self._stopping = False
        self.held_up: Callable[[str], None] = lambda why: None
        """Hears that the loop could not turn for a while: a busy machine, a stopped process, or a fault of ours.

        A machine's sleep does not show where the monotonic clock stands still meanwhile (Linux, macOS).
        """
        self._at_turns_end: list[Callback] = []
        self._wakes, self._waker = socket.socketpair()
        self._wakes.setblocking(False)
        self._waker.setblocking(False)
        self.watch(self._wakes, selectors.EVENT_READ, self._take_wakes)

    # --- sockets

    def watch(self, sock: socket.socket, events: int, ready: Callable[[int], None]) -> None:
        """Call `ready(events)` whenever the socket is ready for one of `events`; again to change them."""
        if sock.fileno() in self._selector.get_map():
            self._selector.modify(sock, events, ready)
        else:
            self._selector.register(sock, events, ready)

    def forget(self, sock: socket.socket) -> None:
        """Watch this socket no more, before it is closed; afterwards nothing is left to do."""
        if sock.fileno() >= 0 and sock.fileno() in self._selector.get_map():
            self._selector.unregister(sock)

    # --- time

    def call_later(self, delay_s: float, callback: Callback) -> Timer:
        timer = Timer(self.now + delay_s, next(self._order), callback)
        heapq.heappush(self._timers, timer)
        return timer

    def at_turns_end(self, callback: Callback) -> None:
        """Call once, after all that this turn does: what many have added to leaves in one piece."""
        self._at_turns_end.append(callback)

    # --- other threads

    def post(self, callback: Callback) -> None:
        """Run `callback` in the loop's thread. The only method that another thread may call."""
        self._posted.append(callback)
        try:
            self._waker.send(b"\0")
        except BlockingIOError:
            pass  # enough wake-ups are waiting in the socket already
        except OSError:
            pass  # the loop has ended, and nobody waits for this any more

    def stop(self) -> None:
        """End `run` after this turn."""
        self._stopping = True

    def run(self, each_turn: Callable[[], float | None]) -> None:
        """Turn until `stop`: sockets, then posted calls and due timers, then `each_turn`.

        `each_turn` does what the turn's events have made ready, and returns the moment of the clock at which it must run
        again even if nothing happens, or None.
        """
        wake_at: float | None = None
        ended_s = time.monotonic()
        while not self._stopping:
            timeout_s = self._timeout_s(wake_at)
            events = self._selector.select(timeout_s)
            self.now = time.monotonic()
            if timeout_s is not None and self.now - ended_s > timeout_s + HELD_UP_S:
                self.held_up(
                    f"the system did not let this worker run for {self.now - ended_s - timeout_s:.1f} s"
                )
            for key, mask in events:
                key.data(mask)
            for _ in range(len(self._posted)):
                self._posted.popleft()()
            self._ring()
            wake_at = each_turn()
            while self._at_turns_end:
                ending, self._at_turns_end = self._at_turns_end, []
                for callback in ending:
                    callback()
            ended_s = time.monotonic()
            if ended_s - self.now > HELD_UP_S:
                self.held_up(f"one turn of the node thread took {ended_s - self.now:.1f} s")

    def _ring(self) -> None:
        """Call what is due now; what that leaves for "at once" comes in the next turn, after sockets had theirs."""
        due: list[Timer] = []
        while self._timers and self._timers[0].due <= self.now:
            due.append(heapq.heappop(self._timers))
        for timer in due:
            if timer.callback is not None:
                timer.callback()

    def close(self) -> None:
        self._selector.close()
        self._wakes.close()
        self._waker.close()

    def _timeout_s(self, wake_at: float | None) -> float | None:
        if self._posted:
            return 0.0
        moments = [timer.due for timer in self._timers[:1]]
        if wake_at is not None:
            moments.append(wake_at)
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _take_wakes(self, _: int) -> None:
        try:
            while self._wakes.recv(4096):
                pass
        except BlockingIOError:
            pass
