"""Where clients and peers come in: the listening socket, and what they say once they have proved who they are."""

import errno
import selectors
import socket
import sys
from typing import TYPE_CHECKING

from shared.errors import MinkaError, ProtocolViolation, Refused
from shared.frames import Frame, FrameType
from shared.handshake import ServerHandshake
from worker.connections import Connection, Owner, Request
from worker.peer_messages import from_frame
from worker.peer_requests import PeerRequests
from worker.raft.errors import Violation
from worker.settings import write_address

if TYPE_CHECKING:
    from worker.node import Node

CONNECTIONS_LIMIT = 400 if sys.platform == "win32" else 1_024
"""`select` of Windows takes no more than 512 sockets."""
LISTEN_BACKLOG = 256
ACCEPT_PAUSE_S = 0.1
OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Door(Owner):
    """Accepts connections, and takes each frame to whom it concerns."""

    def __init__(self, node: "Node") -> None:
        """Raises `Refused` when the address cannot be listened on."""
        self._node = node
        self._connections: set[Connection] = set()
        self._peer_requests = PeerRequests(node)
        self._socket = self._listen()
        self._closed = False
        self._watch()

    def _watch(self) -> None:
        if not self._closed:
            self._node.loop.watch(self._socket, selectors.EVENT_READ, self._accept)

    def close(self, error: MinkaError) -> None:
        """Take in nobody any more; what was answered still leaves."""
        self._closed = True
        self._node.loop.forget(self._socket)
        self._socket.close()
        for connection in list(self._connections):
            connection.flush()
            connection.close(error)

    def received(self, connection: Connection, frame: Frame) -> None:
        """A frame from a client, or on a connection that a peer dialled."""
        about = connection.about
        if frame.type is FrameType.REQUEST:
            request = Request(connection, frame)
            (self._peer_requests if about.role == "worker" else self._node.requests).answer(request)
        elif about.role == "worker" and frame.type is FrameType.RAFT:
            try:
                self._node.hear(from_frame(frame, about.id, self._node.settings.id))
            except Violation as violation:
                raise ProtocolViolation(str(violation)) from violation
        elif about.role == "worker" and frame.header.get("about") == "row":
            self._node.links.told(about.id, frame.header.get("row"))
        else:
            raise ProtocolViolation(f"A {about.role} may not send {frame.type.name} frames.")

    def closed(self, connection: Connection, error: MinkaError) -> None:
        """A connection that was accepted has ended."""
        self._connections.discard(connection)
        if isinstance(error, ProtocolViolation):
            self._node.log(f"{connection.name} broke the protocol: {error.reason}")
        if connection.about.role == "worker" and connection.about.channel == "raft":
            self._node.peer_lost(connection.about.id)

    def _listen(self) -> socket.socket:
        host, port = self._node.settings.listen
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            door = socket.create_server((host, port), family=family, backlog=LISTEN_BACKLOG)
        except OSError as error:
            where = write_address(self._node.settings.listen)
            raise Refused(
                f"Cannot listen on {where}: {error.strerror or error}.", "Choose another --listen."
            ) from error
        door.setblocking(False)
        return door

    def _accept(self, _: int) -> None:
        try:
            sock, address = self._socket.accept()
        except OSError as error:
            if error.errno in OUT_OF_DESCRIPTORS:  # the socket stays ready: come back a little later
                self._node.loop.forget(self._socket)
                self._node.loop.call_later(ACCEPT_PAUSE_S, self._watch)
            return
        if len(self._connections) >= CONNECTIONS_LIMIT:
            sock.close()
            return
        keys = {"worker": self._node.settings.keys.cluster, "client": self._node.settings.keys.client}
        handshake = ServerHandshake(self._node.settings.id, self._node.cluster, keys)
        name = f"{address[0]}:{address[1]}"
        self._connections.add(Connection.accept(self._node.loop, sock, handshake, self, name))
