"""Answers clients that look for workers on their network (`shared.discovery`)."""

import ipaddress
import selectors
import socket
from typing import TYPE_CHECKING

from shared.discovery import DATAGRAM_BYTES, PORT, Sighting, answer, key_mark, read_question
from shared.multicast import listening
from worker.loop import Loop
from worker.settings import Settings, write_address

if TYPE_CHECKING:
    from collections.abc import Callable

ANSWERS_LIMIT = 50
"""In one second."""


class Beacon:
    """One UDP socket, of which the node's loop takes what comes. A worker that cannot have it works all the same."""

    def __init__(
        self, loop: Loop, settings: Settings, cluster: str, log: "Callable[[str], None]", port: int = PORT
    ) -> None:
        """`cluster` is the id of the cluster; `log` hears why nobody will find this worker, if so."""
        self._loop = loop
        self._sighting = Sighting(
            cluster, key_mark(settings.keys.client), settings.id, write_address(settings.advertise)
        )
        self._only_here = _is_loopback(settings.advertise[0])
        self._second = 0
        self._answered = 0
        self._socket: socket.socket | None = None
        try:
            answer(bytes(16), self._sighting)
            self._socket = listening(port)
        except (OSError, ValueError) as error:
            log(f"clients will not find this worker by themselves: {error}")
        else:
            loop.watch(self._socket, selectors.EVENT_READ, self._hear)

    def close(self) -> None:
        """Answers nobody any more."""
        if self._socket is not None:
            self._loop.forget(self._socket)
            self._socket.close()

    def _hear(self, _: int) -> None:
        assert self._socket is not None
        try:
            datagram, sender = self._socket.recvfrom(DATAGRAM_BYTES + 1)
            nonce = read_question(datagram)
            if nonce is not None and self._may_answer(sender[0]):
                self._socket.sendto(answer(nonce, self._sighting), sender)
        except OSError:
            pass  # an earlier answer did not arrive, or there is no way back: who asks will ask again

    def _may_answer(self, asker: str) -> bool:
        """Not more than so many times a second; nor a computer that cannot reach this worker's address."""
        if self._only_here and not _is_loopback(asker):
            return False
        if int(self._loop.now) != self._second:
            self._second, self._answered = int(self._loop.now), 0
        self._answered += 1
        return self._answered <= ANSWERS_LIMIT


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
