"""What the page may show, by topic, each with a version that rises when it changes. Thread-safe.

The page is told the versions, and fetches what it shows and lacks: so a burst of changes costs one fetch, and a page
that was away for a while needs no history.
"""

import threading
from collections.abc import Callable
from typing import Any, Literal, get_args

Topic = Literal["connection", "cluster", "files", "datasets", "models", "records", "transfers"]

TOPICS: tuple[Topic, ...] = get_args(Topic)


class Board:
    """The last known value of each topic."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[Topic, Any] = dict.fromkeys(TOPICS)
        self._versions: dict[Topic, int] = dict.fromkeys(TOPICS, 1)
        self._listener: Callable[[], None] | None = None

    def listen(self, listener: Callable[[], None] | None) -> None:
        """`listener` is called after each change, in the thread that made it; None for nobody."""
        with self._lock:
            self._listener = listener

    def get(self, topic: Topic) -> Any:
        """The value that was put last, None before the first; to be read only."""
        with self._lock:
            return self._values[topic]

    def versions(self) -> dict[Topic, int]:
        """The version of every topic."""
        with self._lock:
            return dict(self._versions)

    def put(self, topic: Topic, value: Any) -> None:
        """Replaces the value; nothing happens when it is equal."""
        with self._lock:
            if self._values[topic] == value:
                return
            self._values[topic] = value
        self.touch(topic)

    def touch(self, topic: Topic) -> None:
        """Says that what belongs to `topic` has changed."""
        with self._lock:
            self._versions[topic] += 1
            listener = self._listener
        if listener is not None:
            listener()
