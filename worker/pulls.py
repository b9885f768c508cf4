"""Blobs that this worker lacks, on their way from its peers.

An attempt asks one peer for the whole rest of a blob, a window of chunks at a time. Whatever goes wrong at that peer, the
next attempt asks another, and goes on where the bytes end. A few attempts run at a time; a pull whose attempt failed goes
behind all that wait, so that a blob which nobody has does not stand before those that somebody has.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from shared.errors import MinkaError, Refused
from shared.messages import CHUNK_BYTES
from worker.connections import Connection
from worker.loop import Loop
from worker.peers import PeerLinks
from worker.registry.commands import Blob
from worker.storage.blobs import BlobStore
from worker.storage.disk import DiskFull
from worker.storage.upload import Upload
from worker.transfers import Lane, Transfers, as_refusal

WINDOW_CHUNKS = 8
"""Chunks asked of a peer and not yet stored."""
ACTIVE_LIMIT = 16
RETRY_S = 0.2
RETRY_LIMIT_S = 5.0
READ_S = 20.0

Held = Callable[[MinkaError | None], None]
"""Hears once that a blob is held, or why it can't be."""


class Pulls:
    """All pulls of one worker; at most one for each blob."""

    def __init__(self, loop: Loop, store: BlobStore, transfers: Transfers, links: PeerLinks) -> None:
        self.loop = loop
        self.store = store
        self.transfers = transfers
        self._links = links
        self.came: Callable[[str, int], None] = lambda digest, size_bytes: None
        """Told of each blob that has come."""
        self._pulls: dict[str, Pull] = {}
        self._waiting: deque[Pull] = deque()
        self._active = 0

    def __len__(self) -> int:
        return len(self._pulls)

    def under_way(self) -> list[dict[str, Any]]:
        """Every pull, with the peer that it asks now, if any."""
        return [pull.public() for pull in self._pulls.values()]

    def want(self, blob: Blob, held: Held) -> None:
        """Pull `blob`, for as long as that takes; only this worker's own disk can make it fail."""
        pull = self._pulls.get(blob.digest)
        if pull is not None:
            pull.heard.append(held)
            return
        pull = self._pulls[blob.digest] = Pull(self, blob)
        pull.heard.append(held)
        self.queue(pull)

    def let_go(self, blob: Blob, held: Held) -> None:
        """Who said `want` with this `held` does not wait any more."""
        pull = self._pulls.get(blob.digest)
        if pull is not None and held in pull.heard:
            pull.heard.remove(held)

    # --- between pulls and their places

    def source(self, turn: int) -> Connection | None:
        """The peer to ask at this turn, if any is connected."""
        connected = [connection for _, connection in self._links.connected()]
        return connected[turn % len(connected)] if connected else None

    def queue(self, pull: "Pull") -> None:
        """Let `pull` make an attempt when its turn comes."""
        self._waiting.append(pull)
        self._begin()

    def ended(self, pull: "Pull") -> None:
        """An attempt is over, and its place is free."""
        self._active -= 1
        self._begin()

    def forget(self, pull: "Pull") -> None:
        self._pulls.pop(pull.blob.digest, None)

    def _begin(self) -> None:
        while self._waiting and self._active < ACTIVE_LIMIT:
            pull = self._waiting.popleft()
            if pull.heard:
                self._active += 1
                pull.attempt()
            else:
                self.forget(pull)


class Pull:
    """One blob. An attempt holds a place of `Pulls`, and the store's `Upload`, from `attempt` to `_end`."""

    def __init__(self, pulls: Pulls, blob: Blob) -> None:
        self.blob = blob
        self.heard: list[Held] = []
        self._pulls = pulls
        self._lane = Lane(pulls.transfers)
        self._upload: Upload | None = None
        self._source: Connection | None = None
        self._attempt = 0
        """Rises when an attempt ends: what still comes of it is not looked at."""
        self._asked = self._next = self._written = 0
        """Offsets: bytes asked of the source, given to the lane, and stored."""
        self._early: dict[int, bytes] = {}
        self._delay_s = RETRY_S

    def public(self) -> dict[str, Any]:
        source = None if self._source is None or self._upload is None else self._source.about.id
        about = {"way": "pull", "digest": self.blob.digest, "bytes": self.blob.size_bytes}
        return about | {"done": self._written, "from": source}

    def attempt(self) -> None:
        store, blob = self._pulls.store, self.blob
        self._lane.run(lambda: store.begin(blob.digest, blob.size_bytes), self._opened)

    def _opened(self, upload: Upload | None, error: BaseException | None) -> None:
        if error is not None:
            self._settle(as_refusal(error))
            return
        if upload is None:  # it has come from elsewhere
            self._settle(None)
            return
        self._upload = upload
        self._source = self._pulls.source(self._attempt)
        self._asked = self._next = self._written = upload.offset
        self._early.clear()
        if self._source is None:
            self._again()
        else:
            self._go_on()

    def _go_on(self) -> None:
        """Keep the window of asked chunks full; after the last byte, verify."""
        assert self._upload is not None
        if not self.heard:
            self._again()
            return
        if self._written == self.blob.size_bytes:
            self._lane.run(self._upload.finish, self._finished)
            return
        limit = min(self.blob.size_bytes, self._written + WINDOW_CHUNKS * CHUNK_BYTES)
        while self._asked < limit:
            length = min(CHUNK_BYTES, self.blob.size_bytes - self._asked)
            self._ask(self._asked, length, self._attempt)
            self._asked += length

    def _ask(self, offset: int, length: int, attempt: int) -> None:
        assert self._source is not None

        def came(answer: object, body: bytes) -> None:
            if attempt != self._attempt:
                return
            if isinstance(answer, MinkaError) or len(body) != length:
                self._again()
                return
            self._early[offset] = body
            while (data := self._early.pop(self._next, None)) is not None:
                self._append(self._next, data, attempt)
                self._next += len(data)

        fields = {"digest": self.blob.digest, "offset": offset, "length": length}
        self._source.call("read", fields, b"", came, READ_S)

    def _append(self, offset: int, data: bytes, attempt: int) -> None:
        assert self._upload is not None
        upload = self._upload

        def stored(_: Any, error: BaseException | None) -> None:
            if attempt != self._attempt:
                return
            if error is not None:
                self._settle(as_refusal(error))
            else:
                self._written = offset + len(data)
                self._delay_s = RETRY_S
                self._go_on()

        self._lane.run(lambda: upload.append(offset, data), stored)

    def _finished(self, _: None, error: BaseException | None) -> None:
        if isinstance(error, Refused) and not isinstance(error, DiskFull):
            self._again()  # the bytes were not what their name says: another peer may have better ones
        else:
            self._settle(None if error is None else as_refusal(error))

    # --- the end of an attempt

    def _again(self) -> None:
        """This peer has failed, or nobody waits any more: to the back of the queue."""
        delay_s, self._delay_s = self._delay_s, min(self._delay_s * 2, RETRY_LIMIT_S)
        self._end(lambda: self._pulls.loop.call_later(delay_s, lambda: self._pulls.queue(self)))

    def _settle(self, error: MinkaError | None) -> None:
        """The bytes are here, or this worker's own disk fails: who waits is told, and the pull is over."""
        self._pulls.forget(self)
        if error is None:
            self._pulls.came(self.blob.digest, self.blob.size_bytes)
        heard, self.heard = self.heard, []
        self._end(lambda: None)
        for held in heard:
            held(error)

    def _end(self, then: Callable[[], object]) -> None:
        self._attempt += 1
        upload, self._upload = self._upload, None

        def closed(_: None, error: BaseException | None) -> None:
            if error is not None:
                as_refusal(error)  # a file that cannot be closed is of no more use; a fault of ours is raised
            self._pulls.ended(self)
            then()

        if upload is None:
            closed(None, None)
        else:
            self._lane.run(upload.close, closed)
