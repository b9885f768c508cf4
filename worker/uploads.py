"""Blobs that clients are sending to this worker.

Several clients may send the same bytes; one lane keeps their chunks in order. What a client leaves behind is kept on disk
for it to go on with; its place here is given up after `IDLE_S`, and the bytes after `PARTIAL_S`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.errors import Busy, MinkaError, Refused
from worker.connections import Request
from worker.loop import Loop
from worker.pulls import Held
from worker.registry.commands import Blob
from worker.storage.blobs import BlobStore
from worker.storage.upload import Upload
from worker.transfers import Lane, Transfers, as_refusal

UPLOADS_LIMIT = 32
"""Fewer than the store takes at once, so that what the log needs always has a place."""
IDLE_S = 300.0
PARTIAL_S = 24 * 3600.0
SWEEP_S = 30.0


@dataclass(slots=True)
class _Receiving:
    """One blob; `upload` is None until the store has opened it."""

    blob: Blob
    lane: Lane
    used: float
    upload: Upload | None = None


class Uploads:
    """All uploads of clients to one worker. Node thread only; disk work goes to the transfer threads."""

    def __init__(self, loop: Loop, store: BlobStore, transfers: Transfers) -> None:
        self._loop = loop
        self._store = store
        self._transfers = transfers
        self.came: Callable[[str, int], None] = lambda digest, size_bytes: None
        """Told of each blob that has come."""
        self._open: dict[str, _Receiving] = {}
        self._sweep()

    def __len__(self) -> int:
        return len(self._open)

    def under_way(self) -> list[dict[str, Any]]:
        """Every upload."""
        return [
            {
                "way": "upload",
                "digest": one.blob.digest,
                "bytes": one.blob.size_bytes,
                "done": 0 if one.upload is None else one.upload.offset,
                "from": None,
            }
            for one in self._open.values()
        ]

    def begin(self, request: Request, blob: Blob) -> None:
        """Open or resume an upload; the answer says at which offset to go on."""
        if self._store.use(blob.digest):
            request.reply({"offset": blob.size_bytes})
            return
        receiving = self._open.get(blob.digest)
        if receiving is None:
            if len(self._open) >= UPLOADS_LIMIT:
                raise Busy(f"{UPLOADS_LIMIT} uploads are under way.", "Try again later.")
            receiving = _Receiving(blob, Lane(self._transfers), self._loop.now)
            self._open[blob.digest] = receiving
        elif receiving.blob != blob:
            raise Refused(
                f"These bytes were announced with {receiving.blob.size_bytes} bytes, and with {blob.size_bytes}."
            )
        self._open_lane(request, receiving)

    def _open_lane(self, request: Request, receiving: _Receiving) -> None:
        blob = receiving.blob

        def opened(result: Upload | None, error: BaseException | None) -> None:
            receiving.used, receiving.upload = self._loop.now, result
            if result is not None:
                request.reply({"offset": result.offset})
                return
            if not receiving.lane.waiting:
                self._forget(receiving)
            if error is None:  # it has come from elsewhere meanwhile
                request.reply({"offset": blob.size_bytes})
            else:
                request.fail(as_refusal(error))

        receiving.lane.run(
            lambda: receiving.upload or self._store.begin(blob.digest, blob.size_bytes), opened
        )

    def chunk(self, request: Request, digest: str, offset: int, data: bytes) -> None:
        """Store a client's next bytes; an offset that does not fit is answered with the one that does."""
        receiving = self._receiving(digest)

        def stored(result: int, error: BaseException | None) -> None:
            receiving.used = self._loop.now
            if error is None:
                request.reply({"offset": result})
            else:
                request.fail(as_refusal(error))

        receiving.lane.run(lambda: _opened(receiving).append(offset, data), stored)

    def finish(self, digest: str, held: Held) -> None:
        """Verify an upload and make it durable here; `held` hears of it. Its place is free afterwards."""
        receiving = self._receiving(digest)

        def finish() -> None:
            upload = _opened(receiving)
            try:
                upload.finish()
            finally:
                upload.close()

        def finished(_: None, error: BaseException | None) -> None:
            self._forget(receiving)
            if error is None:
                self.came(digest, receiving.blob.size_bytes)
            held(None if error is None else as_refusal(error))

        receiving.lane.run(finish, finished)

    def abandon(self, request: Request, digest: str) -> None:
        """Remove what came of these bytes, if they are not whole; whoever else was sending them begins again."""
        receiving = self._open.pop(digest, None)

        def abandon() -> None:
            if receiving is not None and receiving.upload is not None:
                receiving.upload.cancel()
            self._store.forget(digest)

        def abandoned(_: None, error: BaseException | None) -> None:
            if error is None:
                request.reply({})
            else:
                request.fail(as_refusal(error))

        (receiving.lane if receiving is not None else Lane(self._transfers)).run(abandon, abandoned)

    def _receiving(self, digest: str) -> _Receiving:
        receiving = self._open.get(digest)
        if receiving is None:
            raise Refused("No upload of these bytes is under way here.", "Begin it again.")
        receiving.used = self._loop.now
        return receiving

    def _forget(self, receiving: _Receiving) -> None:
        if self._open.get(receiving.blob.digest) is receiving:
            del self._open[receiving.blob.digest]

    def _sweep(self) -> None:
        """Give up the places of clients that have gone."""
        for receiving in list(self._open.values()):
            if receiving.lane.idle and self._loop.now - receiving.used >= IDLE_S:
                self._forget(receiving)
                if receiving.upload is not None:
                    receiving.lane.run(receiving.upload.close, _swept)
        self._transfers.run(lambda: self._store.expire(time.time(), PARTIAL_S), _swept)
        self._loop.call_later(SWEEP_S, self._sweep)


def _opened(receiving: _Receiving) -> Upload:
    if receiving.upload is None:
        raise Refused("This upload is not open.", "Begin it again.")
    return receiving.upload


def _swept(_: object, error: BaseException | None) -> None:
    if error is not None and not isinstance(error, MinkaError):
        raise error
