"""What the jobs that this worker leads can do: compute, find bytes, keep bytes, and give shards to every worker."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.errors import MinkaError, Refused, Unreachable
from shared.messages import CHUNK_BYTES, INLINE_BYTES
from worker.connections import Done
from worker.registry.commands import Blob, Command
from worker.registry.rows import FileRow
from worker.training.desk import Desk
from worker.training.pool import TrainerPool

if TYPE_CHECKING:
    from worker.node import Node

Found = Callable[[str | MinkaError], None]
Kept = Callable[[Blob | MinkaError], None]


class Workshop:
    """Implements `coordinator.Workshop` on a node."""

    def __init__(self, node: "Node", pool: TrainerPool, scratch: Path) -> None:
        """`scratch` is a directory for files that tasks read and write."""
        self.desk = Desk(pool, self.blob_path)
        self._node = node
        self._pool = pool
        self._scratch = scratch
        scratch.mkdir(exist_ok=True)

    def now(self) -> float:
        return self._node.loop.now

    def time_ms(self) -> int:
        return self._node.time_ms()

    def propose(self, command: Command, answered: Callable[[dict[str, Any] | MinkaError], None]) -> None:
        self._node.driver.propose(command, b"", answered)

    def compute(self, op: str, fields: dict[str, Any], body: bytes, done: Done) -> None:
        self._pool.submit(op, fields, body, done, first=True)

    def worked(self) -> None:
        self._node.job_moved()

    # --- the workers as places

    def places(self) -> dict[str, int]:
        links, settings = self._node.links, self._node.settings
        peers = {
            peer: int(links.rows[peer].get("cores") or 0)
            for peer, _ in links.connected()
            if peer in links.rows and links.reachable(peer)
        }
        return peers | {settings.id: settings.cores}

    def give(self, worker: str, fields: dict[str, Any], state: bytes, done: Done) -> None:
        if worker == self._node.settings.id:
            self.desk.compute(fields, state, done)
            return
        connection = self._node.links.bulk(worker)
        if connection is None:
            self._node.loop.call_later(0.0, lambda: done(Unreachable(f"{worker} is gone."), b""))
        else:
            connection.call("shard", fields, state, done)

    # --- bytes

    def file_path(self, row: FileRow, found: Found) -> None:
        if row.size_bytes > INLINE_BYTES:
            self.blob_path(Blob(row.digest, row.size_bytes), found)
            return
        data, path = self._node.small_bytes(row.id), self._scratch / row.digest

        def finished(_: int, error: BaseException | None) -> None:
            found(str(path) if error is None else _refusal("A file could not be laid out", error))

        self._node.transfers.run(lambda: path.write_bytes(data), finished)

    def scratch_path(self, name: str) -> str:
        return str(self._scratch / name)

    def blob_path(self, blob: Blob, found: Found) -> None:
        path = str(self._node.store.path(blob.digest))
        self._node.exchange.want(blob, lambda error: found(path if error is None else error))

    def read_blob(self, blob: Blob, found: Callable[[bytes | MinkaError], None]) -> None:
        def read() -> bytes:
            offsets = range(0, blob.size_bytes, CHUNK_BYTES)
            return b"".join(self._node.store.read(blob.digest, at, CHUNK_BYTES) for at in offsets)

        def finished(data: bytes, error: BaseException | None) -> None:
            found(data if error is None else _refusal("A checkpoint could not be read", error))

        def held(error: MinkaError | None) -> None:
            if error is None:
                self._node.transfers.run(read, finished)
            else:
                found(error)

        self._node.exchange.want(blob, held)

    def adopt(self, path: str, kept: Kept) -> None:
        self._keep(lambda: self._node.store.adopt(Path(path)), kept)

    def keep(self, data: bytes, kept: Kept) -> None:
        self._keep(lambda: self._node.store.put(data), kept)

    def _keep(self, store: Callable[[], str], kept: Kept) -> None:
        def stored(digest: str, error: BaseException | None) -> None:
            if error is not None:
                kept(_refusal("A result could not be stored", error))
                return
            blob = Blob(digest, self._node.store.size(digest))
            self._node.exchange.replicate(blob, lambda failure: kept(blob if failure is None else failure))

        self._node.transfers.run(store, stored)


def _refusal(what: str, error: BaseException) -> MinkaError:
    return error if isinstance(error, MinkaError) else Refused(f"{what}: {error}")
