"""The commands of the replicated state machine, and their bytes in a log entry.

Layout of an entry's data, big-endian::

    0  u8   version of the command's layout (1)
    1  u8   flags: bit 0, the command names blobs
    2  u32  length of the JSON
    6  ...  JSON object: "kind" and the fields of one command below
       ...  body: a small file's own bytes (`PutFile`), else nothing

A worker that meets a version or a kind that it does not know stops (DESIGN 4): guessing would part it from the others.
`time_ms` is the leader's clock when it proposed; the state machine never looks at a clock of its own.
"""

import hashlib
import json
import struct
from dataclasses import dataclass
from typing import Any, ClassVar

from shared import fields
from shared.errors import MinkaError, ProtocolViolation
from shared.messages import INLINE_BYTES, Ticket

VERSION = 1
NAMES_BLOBS = 0x01
_to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_PREFIX = struct.Struct(">BBI")


class UnknownCommand(MinkaError):
    """An entry that this version cannot read: this worker must stop rather than guess."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, "Install the release of Minka that the other workers run.")


@dataclass(frozen=True, slots=True)
class Blob:
    """A content-addressed run of bytes: its SHA-256 in hex and its length."""

    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class OpenSession:
    kind: ClassVar[str] = "open_session"
    client: str
    time_ms: int


@dataclass(frozen=True, slots=True)
class PutFile:
    kind: ClassVar[str] = "put_file"
    ticket: Ticket
    name: str
    digest: str
    size_bytes: int
    time_ms: int


@dataclass(frozen=True, slots=True)
class RemoveFile:
    kind: ClassVar[str] = "remove_file"
    ticket: Ticket
    file: int
    time_ms: int


@dataclass(frozen=True, slots=True)
class CreateModel:
    """A job enters: `spec` is complete (shards and steps per round are fixed), `sources` are file ids by role."""

    kind: ClassVar[str] = "create_model"
    ticket: Ticket
    name: str
    spec: dict[str, Any]
    sources: dict[str, Any]
    time_ms: int


@dataclass(frozen=True, slots=True)
class DatasetReady:
    """The job's files were decoded into one canonical blob; `facts` are its counts, shapes and labels.

    `spec` is the job's spec fitted to that data: what every task is given.
    """

    kind: ClassVar[str] = "dataset_ready"
    model: str
    dataset: Blob
    spec: dict[str, Any]
    facts: dict[str, Any]
    rounds: int
    time_ms: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Compare-and-set: `state` is the training state after `round` rounds, reached from the one named `parent`.

    `history` holds the rows of the rounds since the parent; `seconds` is the training time so far.
    """

    kind: ClassVar[str] = "checkpoint"
    model: str
    round: int
    parent: str
    state: Blob
    history: tuple[dict[str, Any], ...]
    seconds: float
    time_ms: int


@dataclass(frozen=True, slots=True)
class FinishModel:
    """The weights alone, after the last round; compare-and-set on the last checkpoint as in `Checkpoint`."""

    kind: ClassVar[str] = "finish_model"
    model: str
    parent: str
    weights: Blob
    history: tuple[dict[str, Any], ...]
    seconds: float
    images_per_second: float
    test_accuracy: float | None
    lineage: dict[str, Any]
    time_ms: int


@dataclass(frozen=True, slots=True)
class FailModel:
    kind: ClassVar[str] = "fail_model"
    model: str
    reason: str
    traceback: str
    time_ms: int


@dataclass(frozen=True, slots=True)
class CancelModel:
    kind: ClassVar[str] = "cancel_model"
    ticket: Ticket
    model: str
    time_ms: int


@dataclass(frozen=True, slots=True)
class Founder:
    """One of the first workers, with the disk that it had when the cluster was founded."""

    id: str
    address: str
    incarnation: str


@dataclass(frozen=True, slots=True)
class Found:
    """The first workers, all at once: only into an empty list."""

    kind: ClassVar[str] = "found"
    founders: tuple[Founder, ...]
    time_ms: int


@dataclass(frozen=True, slots=True)
class Enlist:
    """The worker `id` is reached at `address`, and has the disk `incarnation` ("": the one that is known, if any is)."""

    kind: ClassVar[str] = "enlist"
    id: str
    address: str
    incarnation: str
    time_ms: int


@dataclass(frozen=True, slots=True)
class Retire:
    """The worker `id` belongs to the cluster no more."""

    kind: ClassVar[str] = "retire"
    id: str
    time_ms: int


Command = (
    OpenSession
    | PutFile
    | RemoveFile
    | CreateModel
    | DatasetReady
    | Checkpoint
    | FinishModel
    | FailModel
    | CancelModel
    | Found
    | Enlist
    | Retire
)

_KINDS: dict[str, type[Any]] = {
    command.kind: command
    for command in (
        OpenSession,
        PutFile,
        RemoveFile,
        CreateModel,
        DatasetReady,
        Checkpoint,
        FinishModel,
        FailModel,
        CancelModel,
        Found,
        Enlist,
        Retire,
    )
}


def blobs_of(command: Command) -> tuple[Blob, ...]:
    """The blobs whose bytes a worker must hold durably before it acknowledges this command."""
    match command:
        case PutFile(digest=digest, size_bytes=size_bytes) if size_bytes > INLINE_BYTES:
            return (Blob(digest, size_bytes),)
        case DatasetReady(dataset=blob) | Checkpoint(state=blob) | FinishModel(weights=blob):
            return (blob,)
    return ()


def digest_of(data: bytes) -> str:
    """The name of these bytes: their SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def encode(command: Command, body: bytes = b"") -> bytes:
    """The data of the log entry that carries `command`.

    Raises `ProtocolViolation` for one that `decode` would not read: in the log, it would stop every worker.
    """
    header = {"kind": command.kind, **fields.encode(command)}
    fields.decode(type(command), header)
    text = _to_json(header).encode()
    return _PREFIX.pack(VERSION, NAMES_BLOBS if blobs_of(command) else 0, len(text)) + text + body


def decode(data: bytes) -> Command:
    """The command of an entry; `UnknownCommand` if it cannot be read."""
    try:
        version, _, length = _PREFIX.unpack_from(data)
        if version != VERSION:
            raise UnknownCommand(
                f"The log holds a command of version {version}; this worker knows {VERSION}."
            )
        header = json.loads(data[_PREFIX.size : _PREFIX.size + length])
        kind = _KINDS.get(str(header["kind"]))
        if kind is None:
            raise UnknownCommand(
                f"The log holds a command {header['kind']!r} that this worker does not know."
            )
        command: Command = fields.decode(kind, header)
    except (struct.error, ValueError, LookupError, TypeError, RecursionError, ProtocolViolation) as error:
        raise UnknownCommand(f"The log holds a command that cannot be read: {error}.") from error
    return command


def body_of(data: bytes) -> bytes:
    """The bytes that ride behind the command."""
    _, _, length = _PREFIX.unpack_from(data)
    return data[_PREFIX.size + length :]


def named_blobs(data: bytes) -> tuple[Blob, ...]:
    """As `blobs_of`, from an entry's data; cheap for the many entries that name none."""
    return blobs_of(decode(data)) if data[1:2] != b"\0" else ()
