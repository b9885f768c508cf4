"""What the jobs that this worker leads can do: compute, find bytes, keep bytes, and give shards to every worker."""

import contextlib
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.errors import MinkaError, Unreachable
from shared.messages import CHUNK_BYTES, INLINE_BYTES
from worker.connections import Done
from worker.registry.commands import Blob, Command
from worker.registry.examples import DataSetRow, ExampleRow
from worker.registry.rows import FileRow
from worker.training.desk import Desk
from worker.training.gathering import STEP_EXAMPLES, append_images
from worker.training.pool import TrainerPool
from worker.transfers import as_refusal

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
        for left in scratch.iterdir():
            with contextlib.suppress(OSError):  # Windows: a process of an earlier run still reads it
                left.unlink()

    def now(self) -> float:
        return self._node.loop.now

    def time_ms(self) -> int:
        return self._node.time_ms()

    def propose(self, command: Command, answered: Callable[[dict[str, Any] | MinkaError], None]) -> None:
        self._node.driver.propose(command, b"", answered)

    def compute(self, op: str, fields: dict[str, Any], body: bytes, done: Done) -> None:
        self._pool.submit(op, fields, body, done, first=True)

    def worked(self) -> None:
        self._node.outlook.job_moved()

    def busy(self) -> int:
        """How many trainer processes of this worker compute now."""
        return self._pool.busy

    def ended(self, model: str) -> None:
        """This job was cancelled, or has failed: nothing is to be computed for it any more."""
        self._pool.give_up(model)

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
            try:
                self.desk.compute(fields, state, done)
            except MinkaError as refusal:
                self._later(done, refusal)
            return
        connection = self._node.links.bulk(worker)
        if connection is None:
            self._later(done, Unreachable(f"{worker} is gone."))
        else:
            connection.call("shard", fields, state, done)

    def _later(self, done: Done, error: MinkaError) -> None:
        self._node.loop.call_later(0.0, lambda: done(error, b""))

    # --- bytes

    def file_path(self, row: FileRow | DataSetRow, found: Found) -> None:
        if isinstance(row, DataSetRow):
            _Gathering(self._node, row, self._scratch, found).start()
        elif row.size_bytes > INLINE_BYTES:
            self.blob_path(Blob(row.digest, row.size_bytes), found)
        else:
            self._small_path(row, found)

    def _small_path(self, row: FileRow, found: Found) -> None:
        path = self._scratch / row.digest
        try:
            read = self._node.small_file(row.digest, row.carrier)
        except MinkaError as error:
            found(error)
            return

        def lay_out() -> None:
            if path.exists():
                return
            part = path.with_name(f"{row.digest}-{secrets.token_hex(4)}")
            part.write_bytes(read())
            part.replace(path)  # whoever reads it finds the whole

        def finished(_: None, error: BaseException | None) -> None:
            found(str(path) if error is None else as_refusal(error))

        self._node.transfers.run(lay_out, finished)

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
            found(data if error is None else as_refusal(error))

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
                kept(as_refusal(error))
                return
            blob = Blob(digest, self._node.store.size(digest))
            self._node.exchange.replicate(blob, lambda failure: kept(blob if failure is None else failure))

        self._node.transfers.run(store, stored)


class _Gathering:
    """The examples of a data set on their way into one archive in the scratch directory, some at a time."""

    def __init__(self, node: "Node", source: DataSetRow, scratch: Path, found: Found) -> None:
        self._node = node
        self._left = node.registry.datasets.first(source)[::-1]
        self._path = scratch / f"{source.digest}.zip"
        self._part = scratch / f"{source.digest}-{secrets.token_hex(4)}"
        self._found = found

    def start(self) -> None:
        """`found` hears of it in a later turn."""
        self._node.loop.call_later(0.0, self._next)

    def _next(self) -> None:
        if self._path.exists():
            self._found(str(self._path))
            return
        step = [self._left.pop() for _ in range(min(STEP_EXAMPLES, len(self._left)))]
        self._fetch([Blob(row.digest, row.size_bytes) for row in step if row.size_bytes > INLINE_BYTES], step)

    def _fetch(self, blobs: list[Blob], step: list[ExampleRow]) -> None:
        """All blobs of a step are here before it is written."""

        def held(error: MinkaError | None) -> None:
            if error is None:
                self._fetch(blobs, step)
            else:
                self._found(error)

        if blobs:
            self._node.exchange.want(blobs.pop(), held)
        else:
            self._write(step)

    def _write(self, step: list[ExampleRow]) -> None:
        try:
            images = [(row.label, row.id, self._reader(row)) for row in step]
        except MinkaError as error:
            self._found(error)
            return

        def write() -> None:
            append_images(self._part, images)
            if not self._left:
                self._part.replace(self._path)

        def written(_: None, error: BaseException | None) -> None:
            if error is not None:
                self._found(as_refusal(error))
            else:
                self._next()

        self._node.transfers.run(write, written)

    def _reader(self, row: ExampleRow) -> Callable[[], bytes]:
        if row.size_bytes > INLINE_BYTES:
            return self._node.store.path(row.digest).read_bytes
        return self._node.small_file(row.digest, row.carrier)
