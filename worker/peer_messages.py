"""Raft messages as frames, and back.

The header of a RAFT frame holds ``kind`` and the message's fields, but for the two ids, which the connection has proved. The
entries of an append ride in the body, one after the other, big-endian::

    0   u64  term
    8   u8   kind (0 no-op, 1 command, 2 membership)
    9   u32  length of the data
    13  ...  data

Their indexes follow one another from ``previous_index`` + 1. A snapshot's chunk is the body itself.
"""

import struct
from dataclasses import dataclass
from typing import Any

from shared import fields
from shared.errors import ProtocolViolation
from shared.frames import Frame, FrameType
from shared.value import value
from worker.raft.entries import Entry, EntryKind, Membership, SnapshotMeta
from worker.raft.errors import Violation
from worker.raft.messages import (
    Append,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    Message,
    ReadReply,
    ReadRequest,
    SnapshotReply,
    TimeoutNow,
    VoteReply,
    VoteRequest,
)

_ENTRY = struct.Struct(">QBI")

_PLAIN: dict[str, type[Any]] = {
    "vote": VoteRequest,
    "vote_reply": VoteReply,
    "append_reply": AppendReply,
    "heartbeat": Heartbeat,
    "heartbeat_reply": HeartbeatReply,
    "read": ReadRequest,
    "read_reply": ReadReply,
    "timeout_now": TimeoutNow,
    "snapshot_reply": SnapshotReply,
}
_NAMES = {cls: name for name, cls in _PLAIN.items()}


def to_frame(message: Message) -> Frame:
    """The RAFT frame that carries `message` to ``message.to``."""
    match message:
        case Append():
            header = {
                "kind": "append",
                "term": message.term,
                "previous_index": message.previous_index,
                "previous_term": message.previous_term,
                "commit": message.commit,
            }
            return Frame(FrameType.RAFT, header, _pack(message.entries))
        case InstallSnapshot():
            header = {
                "kind": "snapshot",
                "term": message.term,
                "index": message.snapshot.index,
                "index_term": message.snapshot.term,
                "membership": message.snapshot.membership.encode().decode(),
                "size_bytes": message.snapshot.size_bytes,
                "offset": message.offset,
                "last": message.last,
            }
            return Frame(FrameType.RAFT, header, message.data)
    header = fields.encode(message)
    del header["to"], header["sender"]
    return Frame(FrameType.RAFT, {"kind": _NAMES[type(message)], **header})


def from_frame(frame: Frame, sender: str, to: str) -> Message:
    """The message in a RAFT frame that came from `sender`; raises `ProtocolViolation`."""
    kind = frame.header.get("kind")
    header = {**frame.header, "sender": sender, "to": to}
    try:
        if kind == "append":
            append = fields.decode(_Append, header)
            entries = _unpack(frame.body, append.previous_index)
            return Append(
                to, sender, append.term, append.previous_index, append.previous_term, append.commit, entries
            )
        if kind == "snapshot":
            part = fields.decode(_Snapshot, header)
            membership = Membership.decode(part.membership.encode())
            meta = SnapshotMeta(part.index, part.index_term, membership, part.size_bytes)
            return InstallSnapshot(to, sender, part.term, meta, part.offset, frame.body, part.last)
        plain = _PLAIN.get(str(kind))
        if plain is None:
            raise ProtocolViolation(f"There is no Raft message {kind!r}.")
        message: Message = fields.decode(plain, header)
        return message
    except Violation as violation:
        raise ProtocolViolation(str(violation)) from violation


@value
class _Append:
    term: int
    previous_index: int
    previous_term: int
    commit: int


@dataclass(frozen=True, slots=True)
class _Snapshot:
    term: int
    index: int
    index_term: int
    membership: str
    size_bytes: int
    offset: int
    last: bool


def _pack(entries: tuple[Entry, ...]) -> bytes:
    pieces = []
    for entry in entries:
        pieces.append(_ENTRY.pack(entry.term, entry.kind, len(entry.data)))
        pieces.append(entry.data)
    return b"".join(pieces)


def _unpack(body: bytes, previous_index: int) -> tuple[Entry, ...]:
    entries, at, index = [], 0, previous_index
    try:
        while at < len(body):
            term, kind, length = _ENTRY.unpack_from(body, at)
            at += _ENTRY.size
            index += 1
            data = body[at : at + length]
            at += length
            if len(data) != length:
                raise ProtocolViolation("An entry is longer than the frame that holds it.")
            entries.append(Entry(term, index, EntryKind(kind), data))
    except (struct.error, ValueError) as error:
        raise ProtocolViolation("The entries of an append cannot be read.") from error
    return tuple(entries)
