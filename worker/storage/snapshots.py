"""Snapshots: the state up to one index of the log, each in a file of its own.

    snapshots/00000000000000ff.snapshot   the state after entry 255; whatever has this name was whole and durable before
    snapshots/incoming                    one that is being received from the leader

All integers are big-endian::

    header   0  8s  magic "MINKASNP"
             8  u16 version = 1
            10  u16 0
            12  u32 length of the JSON
            16  u32 CRC-32 of bytes 0 to 15 and the JSON
            20  JSON: {"index", "term", "voters", "learners", "digest"}; digest: of the state, in hex

    piece    0  u32 length of the rows, at least 1
             4  u32 CRC-32 of the rows
             8  rows: JSON arrays, one a line

    end      0  u32 0
             4  32s SHA-256 of all before it

A piece is what is in memory at a time. The rows are those of `Registry.dump` and of `Packs.dump`.
"""

import hashlib
import json
import re
import struct
import zlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.raft.entries import Membership, SnapshotMeta
from worker.storage.disk import Corrupt, Disk, DiskFull, File

MAGIC = b"MINKASNP"
VERSION = 1
PIECE_BYTES = 256 * 1024
"""A piece ends with the row that makes it as long as this."""
PIECE_LIMIT_BYTES = 64 * 1_048_576
HEADER_LIMIT_BYTES = 1_048_576

INCOMING = "incoming"
_NAME = re.compile(r"[0-9a-f]{16}\.snapshot")
_HEADER = struct.Struct(">8sHHI")
_PIECE = struct.Struct(">II")
_CRC = struct.Struct(">I")
_END = struct.Struct(">I32s")


@dataclass(frozen=True, slots=True)
class Heading:
    """What a snapshot says of itself."""

    index: int
    term: int
    membership: Membership
    digest: str
    """The digest of the state that it holds."""


def write_snapshot(disk: Disk, path: Path, heading: Heading, rows: Iterable[list[Any]]) -> int:
    """Write a whole snapshot; its size in bytes. Durable on return, and after a crash either whole or not there."""
    temporary = path.with_name(path.name + ".new")
    file = disk.open(temporary, write=True)
    try:
        file.truncate(0)
        size_bytes = 0
        for data in _encoded(heading, rows):
            file.write_at(size_bytes, data)
            size_bytes += len(data)
        file.sync()
    except DiskFull:
        file.close()
        disk.remove(temporary)
        raise
    finally:
        file.close()
    disk.replace(temporary, path)
    return size_bytes


def _encoded(heading: Heading, rows: Iterable[list[Any]]) -> Iterator[bytes]:
    digest = hashlib.sha256()
    for data in _parts(heading, rows):
        digest.update(data)
        yield data
    yield _END.pack(0, digest.digest())


def _parts(heading: Heading, rows: Iterable[list[Any]]) -> Iterator[bytes]:
    members = {"voters": sorted(heading.membership.voters), "learners": sorted(heading.membership.learners)}
    fields = {"index": heading.index, "term": heading.term, **members, "digest": heading.digest}
    text = json.dumps(fields, separators=(",", ":")).encode()
    start = _HEADER.pack(MAGIC, VERSION, 0, len(text))
    yield start + _CRC.pack(zlib.crc32(text, zlib.crc32(start))) + text
    lines: list[bytes] = []
    size_bytes = 0
    for row in rows:
        lines.append(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        size_bytes += len(lines[-1])
        if size_bytes >= PIECE_BYTES:
            yield _piece(b"".join(lines))
            lines, size_bytes = [], 0
    if lines:
        yield _piece(b"".join(lines))


def _piece(data: bytes) -> bytes:
    return _PIECE.pack(len(data), zlib.crc32(data)) + data


class SnapshotFile:
    """An open snapshot; raises `Corrupt` wherever it is not what `write_snapshot` wrote."""

    def __init__(self, disk: Disk, path: Path) -> None:
        self._path = path
        self._file: File = disk.open(path)
        try:
            self.heading, self._start = self._read_heading()
        except BaseException:
            self._file.close()
            raise

    def size_bytes(self) -> int:
        return self._file.size()

    def pieces(self) -> Generator[list[list[Any]], None, None]:
        """The rows, a piece at a time; the whole counts only when the last piece has come without an error."""
        digest = hashlib.sha256(self._file.read_at(0, self._start))
        at = self._start
        while True:
            head = self._file.read_at(at, _PIECE.size)
            if len(head) == _PIECE.size and (length := _PIECE.unpack(head)[0]):
                rows, data = self._read_piece(at, length, _PIECE.unpack(head)[1])
                digest.update(head)
                digest.update(data)
                at += _PIECE.size + length
                yield rows
            else:
                break
        if self._file.read_at(at, _END.size + 1) != _END.pack(0, digest.digest()):
            raise Corrupt(self._path, at, "it does not match its digest")

    def close(self) -> None:
        self._file.close()

    def _read_heading(self) -> tuple[Heading, int]:
        start = self._file.read_at(0, _HEADER.size + _CRC.size)
        if len(start) < _HEADER.size + _CRC.size or start[:8] != MAGIC:
            raise Corrupt(self._path, 0, "it is no snapshot")
        _, version, _, length = _HEADER.unpack_from(start)
        text = self._file.read_at(len(start), min(length, HEADER_LIMIT_BYTES))
        if zlib.crc32(text, zlib.crc32(start[: _HEADER.size])) != _CRC.unpack_from(start, _HEADER.size)[0]:
            raise Corrupt(self._path, 0, "its header does not match its checksum")
        if version != VERSION:
            raise Corrupt(self._path, 8, f"it is of version {version}; this program knows {VERSION}")
        fields = json.loads(text)
        membership = Membership(frozenset(fields["voters"]), frozenset(fields["learners"]))
        return Heading(fields["index"], fields["term"], membership, fields["digest"]), len(start) + length

    def _read_piece(self, at: int, length: int, checksum: int) -> tuple[list[list[Any]], bytes]:
        data = self._file.read_at(at + _PIECE.size, min(length, PIECE_LIMIT_BYTES))
        if len(data) != length or zlib.crc32(data) != checksum:
            raise Corrupt(self._path, at, "a piece does not match its checksum")
        return [json.loads(line) for line in data.splitlines()], data


class SnapshotStore:
    """The snapshots in the directory `path`. Implements `worker.raft.storage.SnapshotSource`."""

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk = disk
        self._path = path
        disk.make_directory(path)

    def path(self, index: int) -> Path:
        return self._path / f"{index:016x}.snapshot"

    def indexes(self) -> list[int]:
        """Which snapshots are here, newest first."""
        names = filter(_NAME.fullmatch, self._disk.list(self._path))
        return sorted((int(name[:16], 16) for name in names), reverse=True)

    def open(self, index: int) -> SnapshotFile:
        """Raises `Corrupt`, FileNotFoundError."""
        return SnapshotFile(self._disk, self.path(index))

    def keep(self, indexes: Sequence[int]) -> None:
        """Remove all but these, and what was never finished."""
        kept = {self.path(index).name for index in indexes}
        for name in self._disk.list(self._path):
            if name not in kept:
                self._disk.remove(self._path / name)

    def chunk(self, index: int, offset: int, max_bytes: int) -> bytes | None:
        """Bytes of the snapshot at `index` from `offset`; None if it is not here."""
        try:
            file = self._disk.open(self.path(index))
        except FileNotFoundError:
            return None
        try:
            return file.read_at(offset, max_bytes)
        finally:
            file.close()

    # --- one that is being received

    def receive(self, offset: int, data: bytes) -> None:
        """Write the next bytes; those at offset 0 begin anew."""
        file = self._disk.open(self._path / INCOMING, write=True)
        try:
            file.truncate(offset)
            file.write_at(offset, data)
        finally:
            file.close()

    def received(self) -> SnapshotFile:
        """What has been received, to be read before it is taken. Raises `Corrupt`."""
        return SnapshotFile(self._disk, self._path / INCOMING)

    def take(self, meta: SnapshotMeta) -> None:
        """Give what has been received its name; durable on return."""
        file = self._disk.open(self._path / INCOMING, write=True)
        try:
            file.sync()
        finally:
            file.close()
        self._disk.replace(self._path / INCOMING, self.path(meta.index))
