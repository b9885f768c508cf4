"""Server-sent events: one stream, any number of clients that listen to it (WHATWG HTML section 9.2)."""

import json
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from shared.http1 import Request

HEARTBEAT = b":\n\n"


def encode_event(event: str, data: Any, id: str = "") -> bytes:
    """One event; `data` becomes one line of JSON. Raises ValueError for an event or id with a line end."""
    if any(character in event + id for character in "\r\n\0"):
        raise ValueError("an event name or id cannot hold a line end")
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    name = f"id: {id}\n" if id else ""
    return f"{name}event: {event}\ndata: {text}\n\n".encode()


class Listener(Protocol):
    """One client of a stream."""

    def offer(self, data: bytes) -> bool:
        """Queues bytes; False when the client is gone, or was dropped because it reads too slowly."""


class EventStream:
    """Fans events out to the clients whose requests were answered with it. Belongs to the server's loop:
    another thread publishes through `HttpServer.call_soon`.

    ``opening(request)`` gives the encoded events that a new client receives first, so that it has the whole
    state before the changes; the header ``last-event-id`` of the request says where a returning client left
    off.
    """

    def __init__(self, opening: Callable[[Request], Iterable[bytes]] | None = None) -> None:
        self._opening = opening
        self._listeners: dict[Listener, None] = {}

    def __len__(self) -> int:
        return len(self._listeners)

    def subscribe(self, listener: Listener, request: Request) -> None:
        """Gives `listener` the opening events, and from now on every published one."""
        opening = b"".join(self._opening(request)) if self._opening is not None else b""
        if listener.offer(opening or HEARTBEAT):
            self._listeners[listener] = None

    def unsubscribe(self, listener: Listener) -> None:
        """Forgets a client that has gone."""
        self._listeners.pop(listener, None)

    def publish(self, event: str, data: Any, id: str = "") -> None:
        """Encodes the event once and queues it for every client."""
        if self._listeners:
            self.send(encode_event(event, data, id))

    def send(self, encoded: bytes) -> None:
        """Queues encoded events for every client, in one piece."""
        for listener in list(self._listeners):
            if not listener.offer(encoded):
                self.unsubscribe(listener)
