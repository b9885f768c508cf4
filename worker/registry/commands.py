"""The commands of the replicated state machine, and their bytes in a log entry.

Layout of an entry's data, big-endian::

    0  u8   version of the command's layout (1)
    1  u8   flags: bit 0, the command names blobs; bit 1, it is packed; bit 2, of a packed one: it is `held`
    2  u32  length of the JSON
    6  ...  JSON object: "kind" and the fields of one command below
       ...  body: a small file's or example's own bytes, if they are not `held`; else nothing

`PutFile`, the one command that comes by the thousand, is packed::

    2  u64  of the ticket: session, then 10 sequence, 18 waiting_from
   26  u64  size in bytes
   34  u64  time_ms
   42  32s  SHA-256 of the file
   74  u16  length of the name
   76  ...  name in UTF-8
       ...  body

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
from shared.evaluations import Evaluation
from shared.messages import INLINE_BYTES, Ticket
from shared.value import value

VERSION = 1
NAMES_BLOBS = 0x01
PACKED = 0x02
HELD = 0x04
_to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_PREFIX = struct.Struct(">BBI")
_PUT = struct.Struct(">BBQQQQQ32sH")
DIGEST_BYTES = 32


class UnknownCommand(MinkaError):
    """An entry that this version cannot read: this worker must stop rather than guess."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, "Install the release of Minka that the other workers run.")


@value
class Blob:
    """A content-addressed run of bytes: its SHA-256 in hex and its length."""

    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class OpenSession:
    kind: ClassVar[str] = "open_session"
    client: str
    time_ms: int


@value
class PutFile:
    kind: ClassVar[str] = "put_file"
    ticket: Ticket
    name: str
    digest: str
    size_bytes: int
    time_ms: int
    held: bool = False
    """Some file or example has these few bytes already: the command does not bring them once more."""


@value
class RemoveFile:
    kind: ClassVar[str] = "remove_file"
    ticket: Ticket
    file: int
    time_ms: int


@dataclass(frozen=True, slots=True)
class AddExample:
    """One image, whose bytes travel as those of a file do, into a data set that grows."""

    kind: ClassVar[str] = "add_example"
    ticket: Ticket
    dataset: str
    label: str
    digest: str
    size_bytes: int
    time_ms: int
    held: bool = False
    """As `PutFile.held`."""


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

    `history` holds the rows of the rounds since the parent; `seconds` is the training time so far. `chain` is this round's
    link in the job's hash chain; "" in the log of a release that had none.
    """

    kind: ClassVar[str] = "checkpoint"
    model: str
    round: int
    parent: str
    state: Blob
    history: tuple[dict[str, Any], ...]
    seconds: float
    time_ms: int
    chain: str = ""


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
class PromoteModel:
    kind: ClassVar[str] = "promote_model"
    ticket: Ticket
    model: str
    alias: str
    time_ms: int


@dataclass(frozen=True, slots=True)
class RollBackAlias:
    kind: ClassVar[str] = "roll_back_alias"
    ticket: Ticket
    alias: str
    time_ms: int


@dataclass(frozen=True, slots=True)
class NoteEvaluation:
    kind: ClassVar[str] = "note_evaluation"
    ticket: Ticket
    model: str
    evaluation: Evaluation
    time_ms: int


@value
class NotePredictions:
    """Predictions that workers made: who asked for each, and the summary of its record.

    Without a ticket: a batch that is proposed again makes its records twice.
    """

    kind: ClassVar[str] = "note_predictions"
    clients: tuple[str, ...]
    summaries: tuple[str, ...]
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
    ticket: Ticket
    id: str
    time_ms: int


Command = (
    OpenSession
    | PutFile
    | RemoveFile
    | AddExample
    | CreateModel
    | DatasetReady
    | Checkpoint
    | FinishModel
    | FailModel
    | CancelModel
    | PromoteModel
    | RollBackAlias
    | NoteEvaluation
    | NotePredictions
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
        AddExample,
        CreateModel,
        DatasetReady,
        Checkpoint,
        FinishModel,
        FailModel,
        CancelModel,
        PromoteModel,
        RollBackAlias,
        NoteEvaluation,
        NotePredictions,
        Found,
        Enlist,
        Retire,
    )
}


def blobs_of(command: Command) -> tuple[Blob, ...]:
    """The blobs whose bytes a worker must hold durably before it acknowledges this command."""
    match command:
        case PutFile() | AddExample() if command.size_bytes > INLINE_BYTES:
            return (Blob(command.digest, command.size_bytes),)
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
    flags = NAMES_BLOBS if blobs_of(command) else 0
    if isinstance(command, PutFile):
        return _pack_put(command, flags | PACKED | (HELD if command.held else 0)) + body
    header = {"kind": command.kind, **fields.encode(command)}
    fields.decode(type(command), header)
    text = _to_json(header).encode()
    return _PREFIX.pack(VERSION, flags, len(text)) + text + body


def decode(data: bytes) -> Command:
    """The command of an entry; `UnknownCommand` if it cannot be read."""
    try:
        if data[0] != VERSION:
            raise UnknownCommand(
                f"The log holds a command of version {data[0]}; this worker knows {VERSION}."
            )
        if data[1] & ~(NAMES_BLOBS | PACKED | HELD):
            raise UnknownCommand(
                f"The log holds a command with flags {data[1]:#x} that this worker does not know."
            )
        return _unpack_put(data) if data[1] & PACKED else _decode_json(data)
    except (struct.error, ValueError, LookupError, TypeError, RecursionError, ProtocolViolation) as error:
        raise UnknownCommand(f"The log holds a command that cannot be read: {error}.") from error


def _decode_json(data: bytes) -> Command:
    _, _, length = _PREFIX.unpack_from(data)
    header = json.loads(data[_PREFIX.size : _PREFIX.size + length])
    kind = _KINDS.get(str(header["kind"]))
    if kind is None:
        raise UnknownCommand(f"The log holds a command {header['kind']!r} that this worker does not know.")
    command: Command = fields.decode(kind, header)
    return command


def _pack_put(put: PutFile, flags: int) -> bytes:
    ticket = put.ticket
    try:
        name, digest = put.name.encode(), bytes.fromhex(put.digest)
        if len(digest) != DIGEST_BYTES:
            raise ProtocolViolation(f"{put.digest!r} is no SHA-256.")
        numbers = ticket.session, ticket.sequence, ticket.waiting_from, put.size_bytes, put.time_ms
        return _PUT.pack(VERSION, flags, *numbers, digest, len(name)) + name
    except (struct.error, ValueError) as error:
        raise ProtocolViolation(f"A file cannot be named like this: {error}.") from error


def _unpack_put(data: bytes) -> PutFile:
    _, flags, session, sequence, waiting_from, size_bytes, time_ms, digest, length = _PUT.unpack_from(data)
    name = data[_PUT.size : _PUT.size + length]
    if len(name) != length:
        raise ValueError("the name is cut off")
    ticket = Ticket(session, sequence, waiting_from)
    return PutFile(ticket, name.decode(), digest.hex(), size_bytes, time_ms, bool(flags & HELD))


def body_of(data: bytes) -> bytes:
    """The bytes that ride behind the command."""
    if data[1] & PACKED:
        return data[_PUT.size + _PUT.unpack_from(data)[-1] :]
    return data[_PREFIX.size + _PREFIX.unpack_from(data)[-1] :]


def named_blobs(data: bytes) -> tuple[Blob, ...]:
    """As `blobs_of`, from an entry's data; cheap for the many entries that name none."""
    if len(data) > 1 and not data[1] & NAMES_BLOBS:
        return ()
    return blobs_of(decode(data))
