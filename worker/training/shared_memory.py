"""Memory that a node shares with one of its trainer processes, for the states that go to and fro.

A socket between processes of one machine seals each byte twice and copies it five times: 3 ms for the 0.8 MB of a small
network's state, which passes seven times in a round. Two halves: what the node writes, and what the process writes; each
side reads what the other has announced in a frame. One task is under way at a time, so that nothing is overwritten before
it is read.

Only Linux has memory without a name that another process can open (memfd). Elsewhere, states travel in frames.
"""

import mmap
import os
from typing import Self

HALF_BYTES = 16 * 1_048_576
"""As large as a state may be. The system gives memory only for what was written to."""
SIZE_FIELD = "shared_bytes"
"""The header field that says how many bytes of the body are in shared memory; the frame's own body is then empty."""
SMALL_BYTES = 16 * 1024
"""A body that is smaller travels in its frame."""


class SharedMemory:
    """Bytes between two processes: `give` on one side, `take` on the other."""

    def __init__(self, descriptor: int, path: str, *, node: bool) -> None:
        self.path = path
        """Where the other process opens it."""
        self._memory = mmap.mmap(descriptor, 2 * HALF_BYTES)
        self._own, self._other = (0, HALF_BYTES) if node else (HALF_BYTES, 0)

    @classmethod
    def create(cls) -> Self | None:
        """The node's side; None on a system that has no such memory."""
        if not hasattr(os, "memfd_create"):
            return None
        descriptor = os.memfd_create("minka-states")
        os.ftruncate(descriptor, 2 * HALF_BYTES)
        return cls(descriptor, f"/proc/{os.getpid()}/fd/{descriptor}", node=True)

    @classmethod
    def open(cls, path: str) -> Self:
        """The process's side."""
        descriptor = os.open(path, os.O_RDWR)
        try:
            return cls(descriptor, path, node=False)
        finally:
            os.close(descriptor)

    def give(self, body: bytes) -> bool:
        """Write `body` for the other side, over what it was given before; False if it should travel in its frame."""
        if not SMALL_BYTES <= len(body) <= HALF_BYTES:
            return False
        self._memory[self._own : self._own + len(body)] = body
        return True

    def take(self, size_bytes: int) -> bytes:
        """What the other side wrote last. Raises ValueError for a size that it cannot have written."""
        if not 0 <= size_bytes <= HALF_BYTES:
            raise ValueError(f"{size_bytes} bytes cannot be in {HALF_BYTES}")
        return self._memory[self._other : self._other + size_bytes]
