"""Files to the cluster and back: in chunks, verified, resumed where they broke off, in flat memory.

A file's bytes are a blob, named by its SHA-256; its name is data and never a path here.
"""

import hashlib
import io
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from backend.addresses import Address
from backend.client import Answer, ClusterClient
from shared.errors import BytesMissing, MinkaError, NotLeader, Refused, TimedOut, Unreachable
from shared.messages import (
    CHUNK_BYTES,
    FILE_BYTES,
    INLINE_BYTES,
    NAME_CHARACTERS,
    AbandonUpload,
    AddExample,
    BeginUpload,
    FinishUpload,
    Operation,
    Put,
    Read,
    Ticket,
    UploadChunk,
)

Progress = Callable[[int, int], None]
"""Told the bytes done and the bytes in all, after each chunk; may raise `Cancelled`."""


class Cancelled(Exception):
    """Raised by a `Progress` that a person has cancelled: the transfer ends, and leaves nothing behind."""


RESTARTS_LIMIT = 3
"""How often an upload is begun again without a byte of progress, as new leaders may hold fewer of its bytes."""
FINISH_ANSWER_S = 120.0
"""For a live leader to see a blob durable on a majority of the workers."""


@dataclass(frozen=True, slots=True)
class Download:
    """A file that has come whole: its path here, its size in bytes, its SHA-256."""

    path: Path
    size_bytes: int
    digest: str


def no_progress(done: int, total: int) -> None:
    """For those who do not want to know."""


def upload(
    client: ClusterClient, source: Path | bytes, name: str, progress: Progress = no_progress
) -> dict[str, Any]:
    """Put the bytes of a file, or these bytes, into the cluster under `name`, and return the new file's row.

    Up to `INLINE_BYTES` travel with the command; more are uploaded first, from where an earlier upload of the same bytes
    broke off. Raises `Refused` for a file that cannot be read or that changes meanwhile, and as `ClusterClient` does;
    `Cancelled` when `progress` does, and then the workers have removed what came of it.
    """
    name = checked_name(name)
    answer = _store(
        client, source, name, progress, lambda ticket, digest, size: Put(ticket, name, digest, size)
    )
    row: dict[str, Any] = answer.header["file"]
    return row


def add_example(
    client: ClusterClient, source: Path | bytes, dataset: str, label: str, progress: Progress = no_progress
) -> dict[str, Any]:
    """Put an image into a growing data set; returns {"record", "index"}. Raises as `upload`."""
    dataset = checked_name(dataset)
    answer = _store(
        client,
        source,
        source.name if isinstance(source, Path) else label,
        progress,
        lambda ticket, digest, size: AddExample(ticket, dataset, label, digest, size),
    )
    return {"record": answer.header["record"], "index": answer.header["index"]}


def _store(
    client: ClusterClient,
    source: Path | bytes,
    name: str,
    progress: Progress,
    make: Callable[[Ticket, str, int], Operation],
) -> Answer:
    """The answer to the command that `make` makes of a ticket, the digest and the size, once its bytes are where they are
    needed."""
    with _opened(source) as stream:
        if (size_bytes := stream.seek(0, io.SEEK_END)) > FILE_BYTES:
            raise Refused(f"A file has at most {FILE_BYTES:,} bytes, {name!r} {size_bytes:,}.", "Split it.")
        digest, size_bytes = _digest(stream)
        if size_bytes <= INLINE_BYTES:
            stream.seek(0)
            body = stream.read(INLINE_BYTES + 1)
            if hashlib.sha256(body).hexdigest() != digest:
                raise _changed(name)
            answer = client.command(lambda ticket: make(ticket, digest, size_bytes), body)
        else:
            repairs = itertools.count(1)

            def repaired(refusal: Refused) -> bool:
                """The leader may have changed to one that has not all of the bytes, or had not when it was asked."""
                if not isinstance(refusal, BytesMissing) or next(repairs) > RESTARTS_LIMIT:
                    return False
                _send_blob(client, stream, name, digest, size_bytes, progress)
                return True

            try:
                _send_blob(client, stream, name, digest, size_bytes, progress)
            except Cancelled:
                _abandon(client, digest)
                raise
            answer = client.command(
                lambda ticket: make(ticket, digest, size_bytes), answer_s=FINISH_ANSWER_S, repair=repaired
            )
    progress(size_bytes, size_bytes)
    return answer


def checked_name(name: str) -> str:
    """`name` as the cluster takes it: text of UTF-8, not empty, at most `NAME_CHARACTERS`. Raises `Refused`."""
    name = name.encode("utf-8", "replace").decode()
    if not name.strip() or len(name) > NAME_CHARACTERS:
        raise Refused(f"The name of a file has 1 to {NAME_CHARACTERS} characters, this one {len(name)}.")
    return name


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hex. Raises `Refused` when it cannot be read."""
    with _opened(path) as stream:
        return _digest(stream)[0]


def download(
    client: ClusterClient, row: Mapping[str, Any], target: Path, progress: Progress = no_progress
) -> Download:
    """Fetch the bytes of a file's `row` (or of anything with "digest" and "bytes") to the path `target`.

    They are collected beside it, under a name made of the digest, so that a download that broke off goes on; then
    verified, and put at `target` at once. Raises `Refused` when the target cannot be written or no worker's bytes are those
    of the digest (nothing is left at `target` then), and as `ClusterClient` does; `Cancelled` when `progress` does.
    """
    digest, size_bytes = str(row["digest"]), int(row["bytes"])
    part = target.parent / f".{digest[:32]}.minka-part"
    try:
        with open(part, "a+b") as stream:
            right = _receive(client, digest, size_bytes, stream, progress)
            stream.flush()
            os.fsync(stream.fileno())
        if not right:
            part.unlink()
            raise _corrupt(digest)
        os.replace(part, target)
    except Cancelled:
        part.unlink(missing_ok=True)
        raise
    except OSError as error:
        raise Refused(f"{target} cannot be written: {error.strerror or error}.") from error
    return Download(target, size_bytes, digest)


def fetch(client: ClusterClient, digest: str, size_bytes: int, progress: Progress = no_progress) -> bytes:
    """A blob, verified, in memory. Raises as `download` does."""
    stream = io.BytesIO()
    if not _receive(client, digest, size_bytes, stream, progress):
        raise _corrupt(digest)
    return stream.getvalue()


def _receive(
    client: ClusterClient, digest: str, size_bytes: int, stream: BinaryIO, progress: Progress
) -> bool:
    """Whether the bytes of that digest are in `stream` in the end; nothing is, if what came was wrong.

    They come from whoever can; if a copy turns out to be damaged, from each worker by itself.
    """
    sources: list[Address | None] = [None]
    while sources:
        source = sources.pop()
        try:
            if _receive_from(client, source, digest, size_bytes, stream, progress):
                return True
        except (Refused, NotLeader, Unreachable, TimedOut):
            if source is None:
                raise
        if source is None:
            sources = list(reversed(client.addresses))
    return False


def _receive_from(
    client: ClusterClient,
    source: Address | None,
    digest: str,
    size_bytes: int,
    stream: BinaryIO,
    progress: Progress,
) -> bool:
    hasher, done = _resumed(stream, size_bytes)
    progress(done, size_bytes)
    while done < size_bytes:
        chunk = _read(client, source, Read(digest, done, min(CHUNK_BYTES, size_bytes - done))).body
        if not chunk or done + len(chunk) > size_bytes:
            raise Refused(f"The blob {digest[:12]}… is not {size_bytes} bytes long in the cluster.")
        stream.write(chunk)
        hasher.update(chunk)
        done += len(chunk)
        progress(done, size_bytes)
    # The stream is longer if another download wrote to the same part.
    right: bool = hasher.hexdigest() == digest and stream.tell() == size_bytes
    if not right:
        stream.truncate(0)
    return right


def _read(client: ClusterClient, source: Address | None, request: Read) -> Answer:
    """From `source`; without one from the leader, and when it cannot, from whoever can."""
    if source is not None:
        return client.call_worker(source, request)
    try:
        return client.call(request)
    except Refused as refusal:
        for address in client.addresses:
            try:
                return client.call_worker(address, request)
            except (Refused, NotLeader, Unreachable, TimedOut):
                continue
        raise refusal


def _abandon(client: ClusterClient, digest: str) -> None:
    """Each leader so far may have some of the bytes. One that cannot be asked removes them by itself, later."""
    for address in client.addresses:
        with suppress(MinkaError):
            client.call_worker(address, AbandonUpload(digest))


def _send_blob(
    client: ClusterClient, stream: BinaryIO, name: str, digest: str, size_bytes: int, progress: Progress
) -> None:
    """Upload until the bytes are durable on a majority.

    A new leader may hold fewer bytes than the one before: then it is asked again where to go on.
    """
    furthest, restarts = -1, 0
    while True:
        begin = int(client.call(BeginUpload(digest, size_bytes)).header["offset"])
        restarts = 0 if begin > furthest else restarts + 1
        furthest = max(furthest, begin)
        try:
            for offset in _send_chunks(client, stream, name, digest, begin, size_bytes):
                progress(offset, size_bytes)
            client.call(FinishUpload(digest), answer_s=FINISH_ANSWER_S)
            return
        except Refused as refusal:
            if restarts >= RESTARTS_LIMIT:
                raise (_changed(name) if _digest(stream)[0] != digest else refusal) from None


def _send_chunks(
    client: ClusterClient, stream: BinaryIO, name: str, digest: str, offset: int, size_bytes: int
) -> Iterator[int]:
    """Send what lies after `offset`, following the offsets that the leader answers; yields each of them."""
    retreats = 0
    while offset < size_bytes:
        stream.seek(offset)
        chunk = stream.read(min(CHUNK_BYTES, size_bytes - offset))
        if not chunk:
            raise _changed(name)
        answered = int(client.call(UploadChunk(digest, offset), chunk).header["offset"])
        retreats += answered <= offset
        if retreats > RESTARTS_LIMIT or not 0 <= answered <= size_bytes:
            raise Refused(f"The upload of {name!r} makes no progress.", "Try again.")
        offset = answered
        yield offset


def _resumed(stream: BinaryIO, size_bytes: int) -> tuple[Any, int]:
    """The hash and the length of what an earlier download left; nothing, if that is too long to be true."""
    stream.seek(0, io.SEEK_END)
    if stream.tell() > size_bytes:
        stream.truncate(0)
    stream.seek(0)
    hasher = hashlib.sha256()
    while chunk := stream.read(CHUNK_BYTES):
        hasher.update(chunk)
    return hasher, stream.tell()


def _digest(stream: BinaryIO) -> tuple[str, int]:
    """SHA-256 in hex, and the number of bytes that it covers."""
    stream.seek(0)
    hasher, size_bytes = hashlib.sha256(), 0
    while chunk := stream.read(CHUNK_BYTES):
        hasher.update(chunk)
        size_bytes += len(chunk)
    return hasher.hexdigest(), size_bytes


@contextmanager
def _opened(source: Path | bytes) -> Iterator[BinaryIO]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    try:
        with open(source, "rb") as stream:
            yield stream
    except OSError as error:
        raise Refused(f"{source} cannot be read: {error.strerror or error}.") from error


def _changed(name: str) -> MinkaError:
    return Refused(f"{name!r} changed while it was uploaded.", "Upload it again when nobody writes to it.")


def _corrupt(digest: str) -> MinkaError:
    return Refused(
        f"The bytes received are not those of the digest {digest[:12]}….",
        'Try again, and run "minka verify" to see which worker holds a damaged copy.',
    )
