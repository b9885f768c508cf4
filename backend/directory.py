"""What a client knows about where the workers are, and which of them leads."""

import random
import threading
import time
from collections.abc import Iterable, Sequence, Set

from backend.addresses import Address, parse_address
from shared.errors import Refused

LEARNED_LIMIT = 64
"""Addresses remembered beside those that a person gave."""
AVOID_S = 5.0
"""A worker that was of no use is asked last for so long, by requests that any may answer."""


class WorkerDirectory:
    """The given addresses, those learned from the cluster, and the leader as far as is known. Thread-safe."""

    def __init__(self, given: Sequence[Address]) -> None:
        """`given` is kept for ever: learned addresses may not be reachable from here."""
        if not given:
            raise ValueError("a client needs the address of at least one worker")
        self._lock = threading.Lock()
        self._given = tuple(dict.fromkeys(given))
        self._learned: tuple[Address, ...] = ()
        self._leader: Address | None = None
        self._turn = random.randrange(LEARNED_LIMIT)
        self._useless_until: dict[Address, float] = {}

    @property
    def leader(self) -> Address | None:
        """The worker that led when last heard of."""
        return self._leader

    @property
    def addresses(self) -> tuple[Address, ...]:
        """All that are known, the given ones first."""
        with self._lock:
            return tuple(dict.fromkeys((*self._given, *self._learned)))

    def learn(self, addresses: Iterable[str]) -> None:
        """Replace what was learned by the addresses of a fresh status; unreadable ones are left out."""
        read = [address for text in addresses if (address := _read(text)) is not None]
        with self._lock:
            self._learned = tuple(dict.fromkeys(read))[:LEARNED_LIMIT]

    def next_to_try(self, tried: Set[Address]) -> Address | None:
        """Who may lead, among those not yet tried: the presumed leader, then the others in order."""
        leader = self._leader
        if leader is not None and leader not in tried:
            return leader
        return next((address for address in self.addresses if address not in tried), None)

    def any_to_try(self, tried: Set[Address]) -> Address | None:
        """Who may answer, among those not yet tried: all in turn, those that were of no use just now at the end."""
        left = [address for address in self.addresses if address not in tried]
        if not left:
            return None
        now = time.monotonic()
        with self._lock:
            self._turn += 1
            useful = [address for address in left if self._useless_until.get(address, 0.0) <= now]
            return (useful or left)[self._turn % len(useful or left)]

    def was_useless(self, address: Address) -> None:
        """`address` cannot be reached, or is cut off from the others."""
        with self._lock:
            self._useless_until[address] = time.monotonic() + AVOID_S

    def others(self, than: Address) -> tuple[Address, ...]:
        """All known workers but one."""
        return tuple(address for address in self.addresses if address != than)

    def found_leader(self, address: Address) -> None:
        """`address` has answered as leaders do."""
        self._leader = address

    def heard_hint(self, sender: Address, hint: str | None) -> None:
        """`sender` does not lead; `hint` ("host:port") does, if it says so."""
        leader = _read(hint) if hint else None
        with self._lock:
            if leader is not None and leader != sender:
                self._leader = leader
            elif self._leader == sender and leader is None:
                self._leader = None


def _read(text: str) -> Address | None:
    try:
        return parse_address(text)
    except Refused:
        return None
