"""Blobs between workers and clients: uploads, pulls from peers, and how many hold what.

A blob counts for nothing until its SHA-256 was verified and its bytes are durable in this worker's store. The leader names a
blob in the log only once a majority reports to hold it (DESIGN 5); a worker that meets a name it lacks pulls it from
whoever has it.
"""

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from shared.errors import Busy, MinkaError, Refused, TimedOut
from shared.messages import CHUNK_BYTES
from worker.connections import Connection, Request
from worker.loop import Loop
from worker.peers import PeerLinks
from worker.pulls import Held, Pulls
from worker.registry.commands import Blob
from worker.storage.blobs import BlobStore
from worker.transfers import Transfers, as_refusal
from worker.uploads import Uploads

LOOK_S = 0.2
ENDED_KEPT = 50
SHOWN_LIMIT = 100
HOLD_S = 120.0


class Exchange:
    """All blob traffic of one worker. Node thread only; disk work goes to the transfer threads."""

    def __init__(
        self,
        loop: Loop,
        store: BlobStore,
        transfers: Transfers,
        links: PeerLinks,
        voters: Callable[[], frozenset[str]],
    ) -> None:
        """`voters` says whose majority counts."""
        self._loop = loop
        self._store = store
        self._transfers = transfers
        self._links = links
        self._voters = voters
        self._pulls = Pulls(loop, store, transfers, links)
        self._uploads = Uploads(loop, store, transfers)
        self.ended: deque[dict[str, Any]] = deque(maxlen=ENDED_KEPT)
        """The last transfers that came to their end, oldest first."""
        self._pulls.came = partial(self._came, "pull")
        self._uploads.came = partial(self._came, "upload")
        self.was_read: Callable[[str], None] = lambda digest: None
        """Told when somebody was given the last bytes of a blob."""

    # --- what people see

    def under_way(self) -> list[dict[str, Any]]:
        """Blobs on their way to this worker: "pull" from a peer, "upload" from a client; `done` of `bytes` are here."""
        return [*self._pulls.under_way(), *self._uploads.under_way()][:SHOWN_LIMIT]

    def _came(self, way: str, digest: str, size_bytes: int) -> None:
        self.ended.append({"way": way, "digest": digest, "bytes": size_bytes, "time": time.time()})

    # --- what this worker needs

    def want(self, blob: Blob, held: Held) -> None:
        """Pull `blob` from any peer that has it, for as long as that takes; `held` hears of it in a later turn.

        Never before this returns: a blob may have come just after its caller found it missing, and the caller has yet
        to note what it waits for.
        """
        if self._store.use(blob.digest):
            self._loop.post(lambda: held(None))
        else:
            self._pulls.want(blob, held)

    def let_go(self, blob: Blob, held: Held) -> None:
        """Who said `want` with this `held` does not wait any more."""
        self._pulls.let_go(blob, held)

    def replicate(self, blob: Blob, held: Held) -> None:
        """Have a majority hold a blob that this worker holds; the others keep pulling it afterwards."""
        assert self._store.has(blob.digest)
        _Spread(self._loop, self._links, self._voters, blob, held).look()

    # --- what peers ask

    def hold(self, request: Request, blob: Blob) -> None:
        """A peer asks this worker to hold a blob: answered once it does, or after `HOLD_S`."""

        def held(error: MinkaError | None) -> None:
            late.cancel()
            if error is None:
                request.reply({})
            else:
                request.fail(error)

        def give_up() -> None:
            self._pulls.let_go(blob, held)
            request.fail(TimedOut(f"Nobody has sent {blob.digest} yet."))

        late = self._loop.call_later(HOLD_S, give_up)
        try:
            self.want(blob, held)
        except MinkaError:
            late.cancel()
            raise

    def read(self, request: Request, digest: str, offset: int, length: int) -> None:
        """Answer with up to `length` bytes of a blob from `offset`."""
        if not self._store.use(digest):
            raise Refused(f"This worker does not hold {digest}.", "Ask another worker.")

        def read() -> tuple[int, bytes]:
            return self._store.size(digest), self._store.read(digest, offset, min(length, CHUNK_BYTES))

        def finished(result: tuple[int, bytes], error: BaseException | None) -> None:
            if error is None:
                size_bytes, data = result
                request.reply({"size_bytes": size_bytes}, data)
                if offset + len(data) >= size_bytes:
                    self.was_read(digest)
            else:
                request.fail(as_refusal(error))

        self._transfers.run(read, finished)

    # --- what clients send

    def begin(self, request: Request, blob: Blob) -> None:
        """Open or resume a client's upload; the answer says at which offset to go on."""
        self._uploads.begin(request, blob)

    def chunk(self, request: Request, digest: str, offset: int, data: bytes) -> None:
        """Store a client's next bytes; an offset that does not fit is answered with the one that does."""
        self._uploads.chunk(request, digest, offset, data)

    def abandon(self, request: Request, digest: str) -> None:
        """Remove what came of an upload that a client has given up."""
        self._uploads.abandon(request, digest)

    def finish(self, request: Request, digest: str) -> None:
        """Verify a client's upload, make it durable here and on a majority, then answer."""

        def spread(error: MinkaError | None) -> None:
            if error is None:
                self.replicate(Blob(digest, self._store.size(digest)), answered)
            else:
                request.fail(error)

        def answered(error: MinkaError | None) -> None:
            if error is None:
                request.reply({})
            else:
                request.fail(error)

        if self._store.use(digest):
            spread(None)
        else:
            self._uploads.finish(digest, spread)


class _Spread:
    """One blob on its way to a majority of the voters. A worker counts once, however often it answers."""

    def __init__(
        self,
        loop: Loop,
        links: PeerLinks,
        voters: Callable[[], frozenset[str]],
        blob: Blob,
        held: Held,
    ) -> None:
        self._loop = loop
        self._links = links
        self._voters = voters
        self._blob = blob
        self._held = held
        self._holders = {links.id}
        self._asked: dict[str, Connection] = {}
        """Whom a question is under way to; asked again when it failed, or the connection is another one."""
        self._over = False
        self._deadline = loop.call_later(HOLD_S, self._late)

    def look(self) -> None:
        """Ask who was not asked yet, until a majority holds the blob."""
        self._count()
        if self._over:
            return
        fields = {"digest": self._blob.digest, "size_bytes": self._blob.size_bytes}
        for peer, connection in self._links.connected():
            if peer not in self._holders and self._asked.get(peer) is not connection:
                self._asked[peer] = connection
                connection.call("hold", fields, b"", partial(self._heard, peer), HOLD_S)
        self._loop.call_later(LOOK_S, self.look)

    def _heard(self, peer: str, answer: object, _: bytes) -> None:
        if isinstance(answer, MinkaError):
            self._asked.pop(peer, None)
        else:
            self._holders.add(peer)
            self._count()

    def _count(self) -> None:
        voters = self._voters()
        if not self._over and len(self._holders & voters) > len(voters) // 2:
            self._finish(None)

    def _late(self) -> None:
        if not self._over:
            self._finish(
                Busy("Too few workers could take the data in time.", "Try again when a majority is up.")
            )

    def _finish(self, error: MinkaError | None) -> None:
        self._over = True
        self._deadline.cancel()
        self._held(error)
