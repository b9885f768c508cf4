"""The links to the other workers: two connections each that this worker dials, and those that they dial.

"raft" carries consensus and nothing else, so that no bulk transfer stands before a heartbeat; "bulk" carries calls between
workers and what each tells the others about itself. Each connection carries messages one way, from who dialled it (answers
to calls come back on it).
"""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from shared import fields
from shared.errors import MinkaError, ProtocolViolation, Unreachable
from shared.frames import Frame, FrameType
from shared.handshake import Introduction
from worker.connections import Connection, Owner, State
from worker.loop import Loop
from worker.names import Names
from worker.peer_messages import to_frame
from worker.raft.messages import Message
from worker.settings import Address, write_address

REDIAL_S = 0.1
REDIAL_LIMIT_S = 1.0
STALE_S = 2.0
SILENT_S = 5.0
"""A link to a peer that has told nothing for so long is dialled anew: its machine may have vanished, and TCP is patient."""
CHANNELS = ("raft", "bulk")
CORES_LIMIT = 1_024
TEXT_CHARACTERS = 256


@dataclass(frozen=True, slots=True)
class Row:
    """What every peer tells about itself, among other things: the part of `minka status` that only it knows."""

    role: str
    term: int
    commit_index: int
    applied_index: int
    state_digest: str
    files: int
    models: int
    cores: int
    monitor: str | None = None
    leader: str | None = None
    room: int | None = None
    """Bytes that it can still take, on its disk and by its quota."""


ROW_FIELDS = tuple(field.name for field in dataclasses.fields(Row))


class _Link(Owner):
    """One channel to one peer, dialled again whenever it breaks."""

    def __init__(self, links: "PeerLinks", peer: str, address: Address, channel: str) -> None:
        self.peer = peer
        self.connection: Connection | None = None
        self.opened_at = 0.0
        self._links = links
        self._address = address
        self._channel = channel
        self._delay_s = REDIAL_S
        self._tries = 0
        self._dialled: Connection | None = None
        self._ended = False
        self._dial()

    def opened(self, connection: Connection) -> None:
        self._delay_s = REDIAL_S
        self.opened_at = self._links.loop.now
        self.connection = connection

    def closed(self, connection: Connection, error: MinkaError) -> None:
        was_open = self.connection is not None
        self.connection = self._dialled = None
        if self._ended:
            return
        self._again()
        if was_open:
            self._links.lost(self.peer)
        else:
            self._links.refused(self.peer, error)

    def close(self, error: MinkaError) -> None:
        self._ended = True
        if self._dialled is not None:
            self._dialled.close(error)

    def _again(self) -> None:
        self._links.loop.call_later(self._delay_s, self._dial)
        self._delay_s = min(self._delay_s * 2, REDIAL_LIMIT_S)

    def _dial(self) -> None:
        if not self._ended:
            self._links.names.find(self._address, self._found)

    def _found(self, addresses: list[Address] | Unreachable) -> None:
        if self._ended:
            return
        about = Introduction("worker", self._links.id, self._channel, self._links.cluster)
        try:
            if isinstance(addresses, Unreachable):
                raise addresses
            address = addresses[self._tries % len(addresses)]
            self._tries += 1
            self._dialled = Connection.dial(
                self._links.loop, address, about, self._links.key, self, self.peer
            )
        except Unreachable as error:
            self._again()
            self._links.refused(self.peer, error)


class PeerLinks:
    """Every other member, by id."""

    def __init__(
        self,
        loop: Loop,
        id: str,
        cluster: str,
        key: bytes,
        lost: Callable[[str], None],
        log: Callable[[str], None],
    ) -> None:
        self.loop = loop
        self.id = id
        self.cluster = cluster
        self.key = key
        self.rows: dict[str, dict[str, Any]] = {}
        """What each peer last told about itself: its row of `minka status`."""
        self.addresses: dict[str, Address] = {}
        self.names = Names(loop)
        self._lost = lost
        self._log = log
        self.heard: dict[str, float] = {}
        """When each peer last told about itself, by the loop's clock."""
        self._links: dict[str, dict[str, _Link]] = {}
        self._refusals: dict[str, str] = {}

    def add(self, peer: str, address: Address) -> None:
        """Keep up the links to a member from now on, at this address."""
        if self.addresses.get(peer) == address:
            return
        self.drop(peer)
        self.addresses[peer] = address
        if peer != self.id:
            self._links[peer] = {channel: _Link(self, peer, address, channel) for channel in CHANNELS}

    def drop(self, peer: str) -> None:
        """Forget a member."""
        self.addresses.pop(peer, None)
        self.rows.pop(peer, None)
        self.heard.pop(peer, None)
        self._refusals.pop(peer, None)
        for link in self._links.pop(peer, {}).values():
            link.close(Unreachable(f"{peer} is no member any more."))

    def close(self, error: MinkaError) -> None:
        for channels in self._links.values():
            for link in channels.values():
                link.close(error)

    def send(self, message: Message) -> None:
        """Send a consensus message, or drop it: the core repeats what matters."""
        link = self._links.get(message.to, {}).get("raft")
        if link is not None and link.connection is not None:
            link.connection.send(to_frame(message))

    def bulk(self, peer: str) -> Connection | None:
        """The open bulk connection to this peer, if there is one."""
        link = self._links.get(peer, {}).get("bulk")
        return link.connection if link is not None else None

    def connected(self) -> Iterator[tuple[str, Connection]]:
        """The peers that are reachable, with their bulk connections."""
        for peer, channels in self._links.items():
            connection = channels["bulk"].connection
            if connection is not None and connection.state is State.OPEN:
                yield peer, connection

    def tell(self, row: dict[str, Any]) -> None:
        """Tell all peers this worker's own row."""
        self._cut_silent()
        for _, connection in list(self.connected()):
            connection.send(Frame(FrameType.NOTICE, {"about": "row", "row": row}))

    def told(self, peer: str, row: Any) -> None:
        """A peer told about itself; raises `ProtocolViolation` for what no worker would say."""
        told = fields.decode(Row, row)
        texts = (told.role, told.state_digest, told.monitor or "", told.leader or "")
        if told.cores > CORES_LIMIT or max(map(len, texts)) > TEXT_CHARACTERS:
            raise ProtocolViolation(f"{peer} tells about itself what cannot be.")
        if peer in self._links:
            self.rows[peer] = row
            self.heard[peer] = self.loop.now
            self._refusals.pop(peer, None)

    def _cut_silent(self) -> None:
        since = self.loop.now - SILENT_S
        for peer, channels in list(self._links.items()):
            for link in channels.values():
                if link.connection is not None and max(link.opened_at, self.heard.get(peer, 0.0)) < since:
                    link.connection.close(Unreachable(f"{peer} has been silent for {SILENT_S:g} s."))

    def reachable(self, peer: str) -> bool:
        """Whether this peer told about itself of late."""
        return self.loop.now - self.heard.get(peer, float("-inf")) < STALE_S

    def known_rows(self) -> list[dict[str, Any]]:
        """The row of every peer as this worker last heard it, in order of id."""
        return [
            {"id": peer, "address": write_address(self.addresses[peer])}
            | {name: self.rows.get(peer, {}).get(name) for name in ROW_FIELDS}
            | {"reachable": self.reachable(peer)}
            for peer in sorted(self._links)
        ]

    def lost(self, peer: str) -> None:
        """A connection that was open broke, at whichever side it was dialled."""
        self._lost(peer)

    def refused(self, peer: str, error: MinkaError) -> None:
        """A dial failed; said once for each new reason."""
        if self._refusals.get(peer) != error.reason:
            self._refusals[peer] = error.reason
            self._log(str(error))
