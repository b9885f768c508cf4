"""The cluster as the bridge sees it: found again whenever what names it changes."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from backend.addresses import Address
from backend.client import ClusterClient
from shared.errors import Unreachable


class NoCluster(Unreachable):
    """Nothing says which cluster is meant, or how to get in: a person has to."""


@dataclass(frozen=True, slots=True)
class Target:
    """Which cluster: addresses of workers, and the client key."""

    addresses: tuple[Address, ...]
    key: bytes


Find = Callable[[], Target]
"""Says which cluster to use now; raises `NoCluster` when none is known, or its key is missing."""

Open = Callable[[Target, float], ClusterClient]
"""A client for a target, with its timeout in seconds."""

WATCH_S = 3.0
"""How long the watch looks for a leader before the page is told."""
REQUEST_S = 10.0
"""How long a person waits for an answer."""
TRANSFER_S = 60.0
"""How long a transfer waits for a leader before it fails: it can, and the person need not know."""


class ClusterLink:
    """Gives clients of the cluster that is meant now, one for each timeout. Thread-safe."""

    def __init__(self, find: Find, open_client: Open) -> None:
        self._find = find
        self._open = open_client
        self._lock = threading.Lock()
        self._target: Target | None = None
        self._clients: dict[tuple[Target, float], ClusterClient] = {}
        self._closed = False

    def client(self, timeout_s: float) -> ClusterClient:
        """A client of the cluster in use, looked for if there is none yet. Raises what `find` raises."""
        target = self._target or self.renew()
        with self._lock:
            if self._closed:
                raise Unreachable("The bridge is closing.")
            key = (target, timeout_s)
            if key not in self._clients:
                self._clients[key] = self._open(target, timeout_s)
            return self._clients[key]

    def renew(self) -> Target:
        """Looks again which cluster is meant; what runs on another one goes on there. Raises what `find` raises."""
        self._target = target = self._find()
        return target

    def close(self) -> None:
        """Ends every connection; requests under way end with an error."""
        with self._lock:
            self._closed = True
            clients = list(self._clients.values())
            self._clients.clear()
        for client in clients:
            client.close()
