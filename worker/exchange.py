"""Blobs between workers and clients: uploads, pulls from peers, and how many hold what.

A blob counts for nothing until its SHA-256 was verified and its bytes are durable in this worker's store. The leader names a
blob in the log only once a majority reports to hold it (DESIGN 5); a worker that meets a name it lacks pulls it from
whoever has it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from shared.errors import Busy, MinkaError, Refused
from shared.messages import CHUNK_BYTES
from worker.connections import Request
from worker.loop import Loop
from worker.peers import PeerLinks
from worker.registry.commands import Blob
from worker.storage.blobs import BlobStore, Upload
from worker.transfers import Lane, Transfers

WINDOW_CHUNKS = 8
"""Chunks asked of a peer and not yet stored."""
RETRY_S = 0.2
HOLD_S = 120.0
READ_S = 20.0
INCOMING_LIMIT = 256

Held = Callable[[MinkaError | None], None]
"""Hears once that a blob is held, or why it can't be."""


@dataclass(slots=True)
class _Client:
    """A blob that clients are sending."""

    blob: Blob
    lane: Lane
    upload: Upload | None = None


class Exchange:
    """All blob traffic of one worker. Node thread only; disk work goes to the transfer threads."""

    def __init__(
        self,
        loop: Loop,
        store: BlobStore,
        transfers: Transfers,
        links: PeerLinks,
        majority: Callable[[], int],
    ) -> None:
        """`majority` says how many workers, this one included, are a majority of the voters."""
        self._loop = loop
        self._store = store
        self._transfers = transfers
        self._links = links
        self._majority = majority
        self._pulls: dict[str, _Pull] = {}
        self._uploads: dict[str, _Client] = {}

    # --- what this worker needs

    def want(self, blob: Blob, held: Held) -> None:
        """Pull `blob` from any peer that has it, for as long as that takes."""
        if self._store.has(blob.digest):
            held(None)
            return
        pull = self._pulls.get(blob.digest)
        if pull is None:
            pull = self._pulls[blob.digest] = _Pull(self, blob)
            pull.heard.append(held)
            pull.start()
        else:
            pull.heard.append(held)

    def replicate(self, blob: Blob, held: Held) -> None:
        """Have a majority hold a blob that this worker holds; the others keep pulling it afterwards."""
        assert self._store.has(blob.digest)
        needed, told = self._majority() - 1, False

        def one_holds(answer: object, _: bytes) -> None:
            nonlocal needed, told
            if not isinstance(answer, MinkaError):
                needed -= 1
            if needed <= 0 and not told:
                told = True
                timer.cancel()
                held(None)

        def late() -> None:
            nonlocal told
            if not told:
                told = True
                held(Busy("Too few workers could take the data in time.", "Try again when a majority is up."))

        timer = self._loop.call_later(HOLD_S, late)
        if needed <= 0:
            one_holds(None, b"")
            return
        self._offer(blob, set(), one_holds, lambda: told)

    def _offer(
        self, blob: Blob, asked: set[int], heard: Callable[[object, bytes], None], over: Callable[[], bool]
    ) -> None:
        """Ask every peer to hold `blob`, and again those whose connection broke, until it is over."""
        fields = {"digest": blob.digest, "size_bytes": blob.size_bytes}
        for _, connection in self._links.connected():
            if id(connection) not in asked:
                asked.add(id(connection))
                connection.call("hold", fields, b"", heard, HOLD_S)
        if not over():
            self._loop.call_later(RETRY_S, lambda: None if over() else self._offer(blob, asked, heard, over))

    # --- what peers ask

    def hold(self, request: Request, blob: Blob) -> None:
        """A peer asks this worker to hold a blob: answered once it does."""
        self.want(blob, lambda error: request.reply({}) if error is None else request.fail(error))

    def read(self, request: Request, digest: str, offset: int, length: int) -> None:
        """Answer with up to `length` bytes of a blob from `offset`."""
        if not self._store.has(digest):
            request.fail(Refused(f"This worker does not hold {digest}.", "Ask another worker."))
            return

        def read() -> tuple[int, bytes]:
            return self._store.size(digest), self._store.read(digest, offset, min(length, CHUNK_BYTES))

        def finished(result: tuple[int, bytes], error: BaseException | None) -> None:
            if error is None:
                request.reply({"size_bytes": result[0]}, result[1])
            else:
                request.fail(as_refusal(error))

        self._transfers.run(read, finished)

    # --- what clients send

    def begin(self, request: Request, blob: Blob) -> None:
        """Open or resume a client's upload; the answer says at which offset to go on."""
        if self._store.has(blob.digest):
            request.reply({"offset": blob.size_bytes})
            return
        upload = self._uploads.get(blob.digest)
        if upload is None:
            if len(self._uploads) >= INCOMING_LIMIT:
                request.fail(Busy(f"{INCOMING_LIMIT} uploads are under way.", "Try again later."))
                return
            upload = self._uploads[blob.digest] = _Client(blob, Lane(self._transfers))

        def opened(result: Upload | None, error: BaseException | None) -> None:
            if error is not None:
                self._uploads.pop(blob.digest, None)
                request.fail(as_refusal(error))
            elif result is None:  # it has come from elsewhere meanwhile
                self._uploads.pop(blob.digest, None)
                request.reply({"offset": blob.size_bytes})
            else:
                upload.upload = result
                request.reply({"offset": result.offset})

        upload.lane.run(lambda: upload.upload or self._store.begin(blob.digest, blob.size_bytes), opened)

    def chunk(self, request: Request, digest: str, offset: int, data: bytes) -> None:
        """Store a client's next bytes; an offset that does not fit is answered with the one that does."""
        upload = self._uploads.get(digest)
        if upload is None:
            request.fail(Refused("No upload of these bytes is under way here.", "Begin it again."))
            return

        def append() -> int:
            if upload.upload is None:
                raise Refused("This upload is not open.", "Begin it again.")
            return upload.upload.append(offset, data)

        def stored(result: int, error: BaseException | None) -> None:
            if error is None:
                request.reply({"offset": result})
            else:
                request.fail(as_refusal(error))

        upload.lane.run(append, stored)

    def finish(self, request: Request, digest: str) -> None:
        """Verify a client's upload, make it durable here and on a majority, then answer."""
        if self._store.has(digest):
            self._spread(request, Blob(digest, self._store.size(digest)))
            return
        upload = self._uploads.get(digest)
        if upload is None:
            request.fail(Refused("No upload of these bytes is under way here.", "Begin it again."))
            return

        def finish() -> None:
            if upload.upload is None:
                raise Refused("This upload is not open.", "Begin it again.")
            upload.upload.finish()
            upload.upload.close()

        def finished(_: None, error: BaseException | None) -> None:
            self._uploads.pop(digest, None)
            if error is None:
                self._spread(request, upload.blob)
            else:
                request.fail(as_refusal(error))

        upload.lane.run(finish, finished)

    def _spread(self, request: Request, blob: Blob) -> None:
        self.replicate(blob, lambda error: request.reply({}) if error is None else request.fail(error))


class _Pull:
    """One blob on its way from peers into the store."""

    def __init__(self, exchange: Exchange, blob: Blob) -> None:
        self.blob = blob
        self.heard: list[Held] = []
        self._exchange = exchange
        self._lane = Lane(exchange._transfers)
        self._upload: Upload | None = None
        self._asked = 0
        """The offset up to which bytes were asked for; `_next` to the store's lane, `_written` to the file."""
        self._next = 0
        self._written = 0
        self._early: dict[int, bytes] = {}
        self._turn = 0
        self._attempt = 0

    def start(self) -> None:
        exchange, blob = self._exchange, self.blob
        self._lane.run(lambda: exchange._store.begin(blob.digest, blob.size_bytes), self._opened)

    def _opened(self, upload: Upload | None, error: BaseException | None) -> None:
        if upload is None:
            self._end(None if error is None else as_refusal(error))
            return
        self._upload = upload
        self._restart()

    def _restart(self) -> None:
        """Ask the next peer in turn, from where the store stands."""
        assert self._upload is not None
        self._attempt += 1
        self._asked = self._next = self._written = self._upload.offset
        self._early.clear()
        sources = list(self._exchange._links.connected())
        if not sources:
            self._exchange._loop.call_later(RETRY_S, self._restart)
            return
        self._turn += 1
        self._source = sources[self._turn % len(sources)][1]
        self._go_on()

    def _go_on(self) -> None:
        """Keep the window of asked chunks full; after the last byte, verify."""
        if self._written == self.blob.size_bytes:
            assert self._upload is not None
            self._lane.run(self._upload.finish, self._finished)
            return
        limit = min(self.blob.size_bytes, self._written + WINDOW_CHUNKS * CHUNK_BYTES)
        while self._asked < limit:
            length = min(CHUNK_BYTES, self.blob.size_bytes - self._asked)
            self._ask(self._asked, length, self._attempt)
            self._asked += length

    def _ask(self, offset: int, length: int, attempt: int) -> None:
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

        def stored(_: None, error: BaseException | None) -> None:
            if error is not None:
                self._end(as_refusal(error))
            elif attempt == self._attempt:
                self._written = offset + len(data)
                self._go_on()

        self._lane.run(lambda: upload.append(offset, data), stored)

    def _again(self) -> None:
        """This peer failed; whatever of it is still under way is forgotten."""
        self._attempt += 1
        self._exchange._loop.call_later(
            RETRY_S, lambda: self._lane.run(lambda: None, lambda *_: self._restart())
        )

    def _finished(self, _: None, error: BaseException | None) -> None:
        if error is None:
            self._end(None)
        else:  # the bytes were not what their name says: another peer may have better ones
            self._exchange._loop.call_later(RETRY_S, self.start)

    def _end(self, error: MinkaError | None) -> None:
        if error is not None:
            # A full or failing disk: those who wait are told; the pull itself goes on, for the log may need it.
            self._exchange._loop.call_later(1.0, self.start)
        else:
            self._exchange._pulls.pop(self.blob.digest, None)
        heard, self.heard = self.heard, []
        for held in heard:
            held(error)


def as_refusal(error: BaseException | None) -> MinkaError:
    """What a peer or client is told of an error in a transfer thread; our own bugs are raised on."""
    if isinstance(error, MinkaError):
        return error
    if isinstance(error, OSError):
        return Refused(f"The disk of this worker failed: {error.strerror or error}.")
    assert error is not None
    raise error
