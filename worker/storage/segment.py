"""The bytes of one segment file of the log.

All integers are big-endian. A segment is a header of 1024 bytes, then batches one after the other, then zeros:

    header        0  8s  magic "MINKALOG"              24  u64  index of the first entry to come when it was made
                  8  u16 version = 1                   32  u64  where the previous segment ends (0: there is none)
                 10  u16 length of the owner's JSON    40  u64  where the opening batch ends: durable with the file's name
                 12  u32 salt, random per segment      48  the owner: {"cluster", "worker", "incarnation"}, zeros
                 16  u64 number, from 1              1020  u32  CRC-32 of bytes 0 to 1019

    batch         0  4s  magic "MBAT"                  16  u64  synced: all before this offset was durable
                  4  u32 length of its records         24  u32  how many records; 0 is a mark: only `synced` counts
                  8  u64 offset where it stands        28  u32  CRC-32 of bytes 0 to 27, started from the salt
                 32  records

    record        0  u32 CRC-32 of bytes 4 to the end  16  u64  index
                  4  u32 length of the payload         24  u8   kind
                  8  u64 term                          25  payload

    kind  1  hard state   term; index 1 and the payload names who got the vote, or index 0 and nobody did
          2  snapshot     its term and index; payload: JSON, see `encode_snapshot`
          3  continued    index is the number of the next segment, which exists: the last record of a segment
          4  filler       stands where damage was that nothing needs any more: see worker.storage.framing
         16+ entry        16 plus the entry's kind; payload: its data

Offset and salt inside the checksum of a batch header keep a copy of a log, stored as a file within this log, from being
taken for a part of it. The opening batch repeats hard state and snapshot, so that older segments can be removed.
"""

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from shared.errors import Refused
from worker.raft.entries import Entry, HardState, Membership, SnapshotMeta
from worker.raft.errors import Unreadable
from worker.storage.disk import PIECE_BYTES, Corrupt, File
from worker.storage.identity import Identity

MAGIC = b"MINKALOG"
VERSION = 1
HEADER_BYTES = 1024
BATCH_MAGIC = b"MBAT"
MAX_ENTRY_BYTES = 32 * 1_048_576
MAX_BATCH_BYTES = 2 * MAX_ENTRY_BYTES

_HEADER = struct.Struct(">8sHHIQQQQ")
_BATCH = struct.Struct(">4sIQQI")
_RECORD = struct.Struct(">IQQB")
_CRC = struct.Struct(">I")
BATCH_BYTES = _BATCH.size + _CRC.size
RECORD_BYTES = _CRC.size + _RECORD.size
FOOTER_BYTES = BATCH_BYTES + RECORD_BYTES


class LogCorrupt(Corrupt, Unreadable):
    """The log lost something that was durable: this worker must not vote or count until its peers have repaired it."""


class RecordKind(IntEnum):
    HARD_STATE = 1
    SNAPSHOT = 2
    CONTINUED = 3
    FILLER = 4
    ENTRY = 16


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """What a segment says of itself; the fields are those of the drawing above."""

    owner: Identity
    number: int
    first_index: int
    previous_end: int
    opening_end: int
    salt: int

    def encode(self) -> bytes:
        owner = json.dumps(
            {
                "cluster": self.owner.cluster,
                "worker": self.owner.worker,
                "incarnation": self.owner.incarnation,
            },
            ensure_ascii=False,
        ).encode()
        if len(owner) > HEADER_BYTES - _HEADER.size - _CRC.size:
            raise Refused("The names of cluster and worker are too long for the log's header.")
        fields = (self.salt, self.number, self.first_index, self.previous_end, self.opening_end)
        data = _HEADER.pack(MAGIC, VERSION, len(owner), *fields) + owner
        data += bytes(HEADER_BYTES - _CRC.size - len(data))
        return data + _CRC.pack(zlib.crc32(data))

    @classmethod
    def decode(cls, path: Path, data: bytes) -> "SegmentHeader":
        """The inverse; `LogCorrupt` if these are not 1024 bytes that `encode` wrote, `Refused` for a newer version."""
        if len(data) != HEADER_BYTES:
            raise LogCorrupt(path, len(data), "the segment's header is cut off")
        if zlib.crc32(data[: -_CRC.size]) != _CRC.unpack(data[-_CRC.size :])[0]:
            raise LogCorrupt(path, 0, "the segment's header does not match its checksum")
        magic, version, owner_bytes, salt, number, first_index, previous_end, opening_end = (
            _HEADER.unpack_from(data)
        )
        if magic != MAGIC:
            raise LogCorrupt(path, 0, "this is no segment of a log")
        if version != VERSION:
            raise Refused(
                f"{path} is of version {version}; this program knows {VERSION}.", "Install a newer Minka."
            )
        owner = json.loads(data[_HEADER.size : _HEADER.size + owner_bytes])
        identity = Identity(owner["cluster"], owner["worker"], owner["incarnation"])
        return cls(identity, number, first_index, previous_end, opening_end, salt)


@dataclass(frozen=True, slots=True)
class Compaction:
    """A snapshot, and the last entry (`base_index`, `base_term`) that the log no longer holds.

    With `replaces` the snapshot came from the leader, and the whole log before it goes.
    """

    snapshot: SnapshotMeta
    base_index: int
    base_term: int
    replaces: bool


NOTHING_COMPACTED = Compaction(SnapshotMeta(0, 0, Membership(frozenset())), 0, 0, False)


class Record(NamedTuple):
    """A record as it stands in a segment; `offset` is where it begins, `payload` is empty for an entry."""

    offset: int
    kind: int
    term: int
    log_index: int
    payload_bytes: int
    payload: bytes

    @property
    def size_bytes(self) -> int:
        return RECORD_BYTES + self.payload_bytes


def encode_record(kind: int, term: int, index: int, payload: bytes) -> tuple[bytes, bytes]:
    """The record as two pieces, the second one `payload` itself, not copied."""
    head = _RECORD.pack(len(payload), term, index, kind)
    return _CRC.pack(zlib.crc32(payload, zlib.crc32(head))) + head, payload


def encode_entry(entry: Entry) -> tuple[bytes, bytes]:
    if len(entry.data) > MAX_ENTRY_BYTES:
        raise Refused(f"An entry of {len(entry.data)} bytes is above the limit of {MAX_ENTRY_BYTES}.")
    return encode_record(RecordKind.ENTRY + entry.kind, entry.term, entry.index, entry.data)


def encode_hard_state(state: HardState) -> tuple[bytes, bytes]:
    voted = state.voted_for is not None
    return encode_record(RecordKind.HARD_STATE, state.term, int(voted), (state.voted_for or "").encode())


def decode_hard_state(record: Record) -> HardState:
    return HardState(record.term, record.payload.decode() if record.log_index else None)


def encode_snapshot(compaction: Compaction) -> tuple[bytes, bytes]:
    """Payload: {"bytes", "membership", "base_index", "base_term", "replaces"}."""
    meta = compaction.snapshot
    members = {"voters": sorted(meta.membership.voters), "learners": sorted(meta.membership.learners)}
    fields = {
        "bytes": meta.size_bytes,
        "membership": members,
        "base_index": compaction.base_index,
        "base_term": compaction.base_term,
        "replaces": compaction.replaces,
    }
    return encode_record(RecordKind.SNAPSHOT, meta.term, meta.index, json.dumps(fields).encode())


def decode_snapshot(record: Record) -> Compaction:
    fields = json.loads(record.payload)
    members = fields["membership"]
    membership = Membership(frozenset(members["voters"]), frozenset(members["learners"]))
    meta = SnapshotMeta(record.log_index, record.term, membership, fields["bytes"])
    return Compaction(meta, fields["base_index"], fields["base_term"], fields["replaces"])


def encode_footer(header: SegmentHeader, end: int) -> bytes:
    """The batch at `end` which says that another segment goes on: so that a lost one is missed."""
    body = b"".join(encode_record(RecordKind.CONTINUED, 0, header.number + 1, b""))
    return encode_batch_header(end, end, 1, len(body), header.salt) + body


def encode_batch_header(offset: int, synced: int, records: int, body_bytes: int, salt: int) -> bytes:
    data = _BATCH.pack(BATCH_MAGIC, body_bytes, offset, synced, records)
    return data + _CRC.pack(zlib.crc32(data, salt))


def checked_payload(
    path: Path, offset: int, data: bytes | memoryview, term: int, index: int
) -> tuple[int, bytes]:
    """Kind and payload of the record `data`, read at `offset`; `LogCorrupt` unless it is the entry (term, index)."""
    crc = _CRC.unpack_from(data)[0] if len(data) >= RECORD_BYTES else None
    if crc is None or zlib.crc32(memoryview(data)[_CRC.size :]) != crc:
        raise LogCorrupt(path, offset, f"entry {index} does not match its checksum")
    length, found_term, found_index, kind = _RECORD.unpack_from(data, _CRC.size)
    if (found_term, found_index, length) != (term, index, len(data) - RECORD_BYTES):
        raise LogCorrupt(
            path, offset, f"entry {found_index} of term {found_term} stands in the place of {index}"
        )
    return kind, bytes(data[RECORD_BYTES:])


@dataclass(frozen=True, slots=True)
class Damage:
    """Something unreadable: `offset` is exact, `batch` where its batch begins."""

    batch: int
    offset: int
    what: str


class SegmentReader:
    """Reads a segment from its start, once, through a window of about a megabyte."""

    def __init__(self, path: Path, file: File) -> None:
        self.path = path
        self.size = file.size()
        self._file = file
        self._window = b""
        self._window_start = 0
        self.header = SegmentHeader.decode(path, self._read(0, HEADER_BYTES))
        self.end = HEADER_BYTES
        """Where the last sound batch ends."""
        self.synced = self.header.opening_end
        """All before this offset is known to have been durable."""
        self.damage: Damage | None = None
        """Set after `batches` if it stopped at something other than zeros."""

    def batches(self) -> Iterator[list[Record]]:
        """Each sound batch's records, up to a mark, the first zeros or the first damage."""
        while self.end < self.size:
            found = self._batch(self.end)
            if isinstance(found, Damage):
                if not self._zeros(self.end):
                    self.damage = found
                return
            length, synced, records = found
            self.synced = max(self.synced, synced)
            if not records:
                if not self._zeros(self.end + length):
                    self.damage = Damage(self.end, self.end + length, "something unfinished follows a mark")
                return
            yield records
            self.end += length

    def proof(self, batch: int) -> int | None:
        """Where a batch says that the one at `batch` had been durable; None if nothing does."""
        if batch < self.synced:
            return 0
        return self.next_header(batch + 1, synced_from=batch + 1)

    def next_header(self, at: int, synced_from: int = 0) -> int | None:
        """The first sound batch header at or after `at` with all before `synced_from` durable by its word, if any is."""
        while window := self._read(at, PIECE_BYTES):
            found = window.find(BATCH_MAGIC)
            while found >= 0:
                header = self._batch_header(at + found)
                if not isinstance(header, Damage) and header[1] >= synced_from:
                    return at + found
                found = window.find(BATCH_MAGIC, found + 1)
            at += max(len(window) - len(BATCH_MAGIC) + 1, 1)
        return None

    def _batch(self, at: int) -> tuple[int, int, list[Record]] | Damage:
        header = self._batch_header(at)
        if isinstance(header, Damage):
            return header
        body_bytes, synced, count = header
        body = self._read(at + BATCH_BYTES, body_bytes)
        if len(body) < body_bytes:
            return Damage(at, self.size, "a batch is cut off")
        records: list[Record] = []
        position = 0
        view = memoryview(body)
        while position < body_bytes:
            offset = at + BATCH_BYTES + position
            if position + RECORD_BYTES > body_bytes:
                return Damage(at, offset, "a record is cut off")
            length, term, index, kind = _RECORD.unpack_from(body, position + _CRC.size)
            after = position + RECORD_BYTES + length
            if after > body_bytes:
                return Damage(at, offset, "a record's length is impossible")
            if zlib.crc32(view[position + _CRC.size : after]) != _CRC.unpack_from(body, position)[0]:
                return Damage(at, offset, "a record does not match its checksum")
            payload = b"" if kind >= RecordKind.ENTRY else body[position + RECORD_BYTES : after]
            records.append(Record(offset, kind, term, index, length, payload))
            position = after
        if len(records) != count:
            return Damage(at, at, f"a batch of {count} records holds {len(records)}")
        return BATCH_BYTES + body_bytes, synced, records

    def _batch_header(self, at: int) -> tuple[int, int, int] | Damage:
        """Length of the records, `synced`, number of records."""
        data = self._read(at, BATCH_BYTES)
        if len(data) < BATCH_BYTES:
            return Damage(at, at, "a batch header is cut off")
        magic, body_bytes, offset, synced, count = _BATCH.unpack_from(data)
        if (
            magic != BATCH_MAGIC
            or zlib.crc32(data[: _BATCH.size], self.header.salt) != _CRC.unpack_from(data, _BATCH.size)[0]
        ):
            return Damage(at, at, "a batch header does not match its checksum")
        if offset != at or body_bytes > MAX_BATCH_BYTES or synced > at:
            return Damage(at, at, "a batch header is impossible")
        return body_bytes, synced, count

    def _zeros(self, at: int) -> bool:
        while piece := self._read(at, PIECE_BYTES):
            if piece.count(0) != len(piece):
                return False
            at += len(piece)
        return True

    def _read(self, offset: int, length: int) -> bytes:
        start = offset - self._window_start
        if start < 0 or start + length > len(self._window):
            self._window = self._file.read_at(offset, max(length, PIECE_BYTES))
            self._window_start, start = offset, 0
        return self._window[start : start + length]
