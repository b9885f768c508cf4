"""Waiting for what another thread or process does, until a deadline."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LOOK_S = 0.01


def until(look: Callable[[], T], within_s: float = 10.0) -> T:
    """The first true value that `look` gives. Fails with the last one after `within_s` seconds."""
    deadline = time.monotonic() + within_s
    never = threading.Event()
    while not (seen := look()):
        assert time.monotonic() < deadline, f"still {seen!r} after {within_s} s"
        never.wait(LOOK_S)
    return seen
