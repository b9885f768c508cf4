"""An answer that another thread completes, so that a slow handler does not hold the server's loop."""

import threading
from collections.abc import Callable

from shared.http_responses import Response


class Deferred:
    """Returned by a handler in place of a `Response`; some thread calls `complete` once, before or after."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._response: Response | None = None
        self._receiver: Callable[[Response], None] | None = None

    def complete(self, response: Response) -> None:
        """Hands over the answer, from any thread; it is dropped if the client has gone.

        Raises RuntimeError when it was completed before.
        """
        with self._lock:
            if self._response is not None:
                raise RuntimeError("a deferred answer is completed once")
            self._response = response
            receiver = self._receiver
        if receiver is not None:
            receiver(response)

    def deliver_to(self, receiver: Callable[[Response], None]) -> None:
        """`receiver` gets the answer, in the thread that completes it; at once if it is there already."""
        with self._lock:
            self._receiver = receiver
            response = self._response
        if response is not None:
            receiver(response)
