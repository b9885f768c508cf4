"""How far away each peer is: one small question a second on the bulk connection, and how long its answer takes."""

from shared.errors import MinkaError
from worker.loop import Loop
from worker.peers import PeerLinks

ASK_S = 1.0
LATE_S = 5.0


class Pulse:
    """The last round trip to each peer, in seconds."""

    def __init__(self, loop: Loop, links: PeerLinks) -> None:
        self.round_trips_s: dict[str, float] = {}
        self._loop = loop
        self._links = links
        self._asked: set[str] = set()
        self._ask()

    def _ask(self) -> None:
        self._loop.call_later(ASK_S, self._ask)
        connected = dict(self._links.connected())
        for peer in set(self.round_trips_s) - set(connected):
            del self.round_trips_s[peer]
        for peer, connection in connected.items():
            if peer in self._asked:
                continue
            self._asked.add(peer)
            began = self._loop.now

            def answered(answer: object, _: bytes, peer: str = peer, began: float = began) -> None:
                self._asked.discard(peer)
                if not isinstance(answer, MinkaError):
                    self.round_trips_s[peer] = self._loop.now - began

            connection.call("ping", {}, b"", answered, LATE_S)
