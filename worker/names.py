"""Host names become addresses in a thread of their own: the system may take seconds, and the node thread has none."""

import ipaddress
import socket
import threading
from collections.abc import Callable
from queue import SimpleQueue

from shared.errors import Unreachable
from worker.loop import Loop
from worker.settings import Address

Found = Callable[[list[Address] | Unreachable], None]
"""Hears the addresses in digits, at least one, or why there are none."""


class Names:
    """Looks names up, one after the other. The thread begins with the first name, and never holds up the end."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._wanted: SimpleQueue[tuple[Address, Found]] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def find(self, address: Address, found: Found) -> None:
        """Look up one address; what is in digits already is found at once."""
        if is_in_digits(address[0]):
            found([address])
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="names", daemon=True)
            self._thread.start()
        self._wanted.put((address, found))

    def _run(self) -> None:
        while True:
            address, found = self._wanted.get()
            answer = look_up(address)
            self._loop.post(lambda found=found, answer=answer: found(answer))  # type: ignore[misc]


def look_up(address: Address) -> list[Address] | Unreachable:
    """What the system says about a name; blocks."""
    host, port = address
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return Unreachable(
            f"The host name {host!r} cannot be found: {error}.", "Check it, or use the address."
        )
    return [(str(where[0]), int(where[1])) for *_, where in found]


def is_in_digits(host: str) -> bool:
    """Whether this is an IPv4 or IPv6 address rather than a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
