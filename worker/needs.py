"""Blobs that nobody needs any more: how a worker that is behind learns of them.

A worker may hold an entry without the blob that it names, and so not acknowledge it. Meanwhile the others may have gone
on, and have removed a checkpoint that a later one superseded: then that blob never comes. Asked for it, a peer says that
its own state at entry A, which is committed, does not name the blob. For an entry at or before A this settles it: it is
committed already, whatever this worker says, and no state from A on needs the blob on account of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from shared import fields
from shared.errors import MinkaError, ProtocolViolation
from shared.messages import PAGE_ROWS
from worker.connections import Done, Request
from worker.pulls import Held
from worker.registry.commands import Blob

if TYPE_CHECKING:
    from worker.node import Node

LOOK_S = 2.0
CALL_S = 10.0
DISK_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class _Told:
    """A peer's answer, see `Needs.answer`."""

    index: int
    unneeded: tuple[str, ...]
    lacks: tuple[str, ...]


class Needs:
    """Asks the other workers about blobs that do not come, and answers them."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._lacked: set[str] = set()
        """What was lacking at the last look: what is new may be on its way."""
        self._pulled: dict[str, tuple[Blob, Held]] = {}
        self._unstored: set[str] = set()
        """What this worker's disk had no room for, when it was last tried."""
        node.loop.call_later(LOOK_S, self._look)

    def missing(self, blobs: tuple[Blob, ...]) -> set[str]:
        """Those of `blobs`, which an entry of the log names, that are not here; they are pulled until they are."""
        lacks: set[str] = set()
        for blob in blobs:
            self._node.snapshots.named(blob.digest)
            if not self._node.store.use(blob.digest):
                lacks.add(blob.digest)
                if blob.digest not in self._pulled:
                    self._pulled[blob.digest] = (blob, partial(self._held, blob.digest))
                    self._node.exchange.want(*self._pulled[blob.digest])
        return lacks

    def _held(self, digest: str, error: MinkaError | None) -> None:
        if error is None:
            self._pulled.pop(digest, None)
            self._stored(digest)
            self._node.driver.arrived(digest)
        else:
            if not self._unstored:
                self._node.log(f"ALARM: the log names blobs that cannot be stored yet: {error}")
            self._unstored.add(digest)
            self._node.loop.call_later(DISK_RETRY_S, lambda: self._want_again(digest))

    def _stored(self, digest: str) -> None:
        """It is here, or needed no more."""
        if digest in self._unstored:
            self._unstored.remove(digest)
            if not self._unstored:
                self._node.log("the blobs that the log names can be stored again")

    def _want_again(self, digest: str) -> None:
        if digest in self._pulled:
            self._node.exchange.want(*self._pulled[digest])

    def answer(self, request: Request) -> None:
        """Which of the blobs that a peer names are needed no more, as of which entry, and which are not here."""
        digests = request.fields.get("digests")
        if not isinstance(digests, list) or len(digests) > PAGE_ROWS:
            raise ProtocolViolation("A question about blobs needs their digests.")
        lacks = [digest for digest in map(str, digests) if not self._node.store.has(digest)]
        live = {blob.digest for blob in self._node.registry.live_blobs()} if lacks else set()
        unneeded = [digest for digest in lacks if digest not in live]
        request.reply({"index": self._node.registry.applied_index, "unneeded": unneeded, "lacks": lacks})

    def _look(self) -> None:
        self._node.loop.call_later(LOOK_S, self._look)
        lacking = {*self._node.driver.lacking(), *self._node.installation.wanted()}
        asked, self._lacked = sorted(lacking & self._lacked)[:PAGE_ROWS], lacking
        if asked:
            for peer, connection in self._node.links.connected():
                connection.call("needs", {"digests": asked}, b"", self._heard_from(peer), CALL_S)

    def _heard_from(self, peer: str) -> Done:
        def heard(answer: dict[str, Any] | MinkaError, _: bytes) -> None:
            if isinstance(answer, MinkaError):
                return
            try:
                told = fields.decode(_Told, answer)
            except ProtocolViolation as violation:
                self._node.log(f"{peer} says of blobs what makes no sense: {violation.reason}")
                return
            self._settle(told.index, set(told.unneeded))
            if peer == self._node.driver.leadership.leader:
                self._node.installation.lost(list(told.lacks))

        return heard

    def _settle(self, index: int, unneeded: Iterable[str]) -> None:
        lacking, installing = self._node.driver.lacking(), self._node.installation.lacking()
        for digest in unneeded:
            if lacking.get(digest, index + 1) <= index:
                self._node.log(f"the blob {digest[:12]} is needed no more")
                self._node.exchange.let_go(*self._pulled.pop(digest))
                self._stored(digest)
                self._node.driver.arrived(digest)
            if installing.get(digest, index + 1) <= index:
                self._node.installation.unneeded(digest)
