"""What a client may ask of a worker, and what comes back.

Every operation is one frozen dataclass: its fields are the header fields of the REQUEST frame, beside ``id`` (chosen by
the sender, echoed by the answer) and ``op`` (the class's `op`). Bytes travel in the frame's body. The docstring of
each operation gives the header fields and the body of its REPLY. A FAILURE frame answers instead when it cannot be done.

Commands change the replicated state. They carry a `Ticket`: the session, a sequence number that rises by one with each
new command of that session, and the lowest sequence number whose answer the client still waits for. A command sent again
with the same ticket is not run again: the stored answer is returned.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from shared.evaluations import Evaluation
from shared.value import value

INLINE_BYTES = 65_536
"""Files up to this size ride in the log entry; larger ones are uploaded as blobs first."""

FILE_BYTES = 4 * 1_073_741_824
"""The largest file."""

CHUNK_BYTES = 1_048_576
"""The most bytes of a blob in one frame's body."""

PAGE_ROWS = 200
"""The most rows in one answer; more are asked for with ``after``."""

PREDICT_BYTES = 16 * 1_048_576
"""The most bytes of inputs, and of probabilities, in one prediction."""

PREDICT_IMAGES = 10_000
"""The most images in one prediction."""

NAME_CHARACTERS = 1_024
"""The most characters in the name of a file, model or client."""


@value
class Ticket:
    """Makes a command exactly-once: the same ticket is never applied twice."""

    session: int
    sequence: int
    waiting_from: int
    """Answers to sequence numbers below this one will not be asked for again."""


@dataclass(frozen=True, slots=True)
class TrainSpec:
    """What to train. Files are ids in the cluster; what is None is fixed by the cluster when the job is created."""

    inputs: int
    outputs: int
    test_inputs: int | None = None
    test_outputs: int | None = None
    arch: str = "mlp"
    epochs: int | None = None
    batch: int | None = None
    lr: float | None = None
    seed: int = 0
    shards: int | None = None
    steps_per_round: int | None = None
    optimiser: str | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    label_smoothing: float | None = None
    schedule: str | None = None
    averaging: float | None = None
    shift: int | None = None
    rotation: float | None = None
    thickness: float | None = None
    loss: str | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class PredictInput:
    """One piece of a prediction's body, `size_bytes` long.

    ``form`` "image": one image file (PNG, JPEG, ...). ``form`` "array": C-ordered ``uint8`` images; `shape` is [n, height,
    width] or [n, height, width, channels]. ``form`` "numbers": rows of a table, C-ordered little-endian ``float32``;
    `shape` is [n, columns]. ``form`` "text": one text, UTF-8.
    """

    form: str
    size_bytes: int
    shape: tuple[int, ...] = ()


# --- about the cluster


@dataclass(frozen=True, slots=True)
class Status:
    """-> {"leader", "term", "commit_index", "workers": [row]} as CONTRACT names them. Answered by the leader."""

    op: ClassVar[str] = "status"


@dataclass(frozen=True, slots=True)
class OpenSession:
    """-> {"session": int}. `client` is a name for people, shown in the records (user@host)."""

    op: ClassVar[str] = "session"
    client: str


@dataclass(frozen=True, slots=True)
class Records:
    """-> {"records": [{"record", "index", "time", "client", "kind", "summary"}], "last": int}, at most `PAGE_ROWS`.

    Records after number `after`; with `tail` the last so many instead. With `wait_s` and nothing new, the answer waits up to
    so long for the next record.
    """

    op: ClassVar[str] = "records"
    after: int = 0
    tail: int | None = None
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class AddMember:
    """Take in `worker`, which runs at `address` ("host:port") with an empty disk.

    -> {"members": [{"id", "address", "voter"}], "leader"}, once it holds everything and votes.
    """

    op: ClassVar[str] = "member_add"
    worker: str
    address: str


@dataclass(frozen=True, slots=True)
class RemoveMember:
    """-> as `AddMember`, once the cluster goes on without `worker`."""

    op: ClassVar[str] = "member_remove"
    ticket: Ticket
    worker: str


@dataclass(frozen=True, slots=True)
class TransferLeader:
    """-> as `AddMember`, once `worker` leads."""

    op: ClassVar[str] = "leader_transfer"
    worker: str


@dataclass(frozen=True, slots=True)
class Trace:
    """-> {"worker": id, "peers": {id: "host:port"}, "more": bool}, body: JSON, a list of what this worker has said and
    heard of consensus of late, behind the event of number `after`, oldest first. Any worker tells its own.

    An event is [number, seconds since 1970 by this worker's clock, "sent" | "heard", peer, message, {field: value}], or
    "role", leader or null, role, {"term"}; or "applied", null, "", {"index"}.
    """

    op: ClassVar[str] = "trace"
    after: int = 0


# --- files


@dataclass(frozen=True, slots=True)
class BeginUpload:
    """-> {"offset": int}: where to go on; at `size_bytes` the worker has them all, and `FinishUpload` comes next."""

    op: ClassVar[str] = "upload"
    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class UploadChunk:
    """Body: the next bytes, at most `CHUNK_BYTES`, starting at `offset`. -> {"offset": int}: the offset after them."""

    op: ClassVar[str] = "chunk"
    digest: str
    offset: int


@dataclass(frozen=True, slots=True)
class FinishUpload:
    """-> {} once the bytes are verified and durable on a majority of the workers."""

    op: ClassVar[str] = "finish"
    digest: str


@dataclass(frozen=True, slots=True)
class AbandonUpload:
    """-> {} once nothing is left of an unfinished upload of these bytes. Any worker may be asked, about its own disk."""

    op: ClassVar[str] = "abandon"
    digest: str


@value
class Put:
    """Name these bytes. Body: the bytes themselves when there are at most `INLINE_BYTES`, else nothing.

    -> {"file": {"id", "name", "bytes", "digest", "index"}}
    """

    op: ClassVar[str] = "put"
    ticket: Ticket
    name: str
    digest: str
    size_bytes: int


@value
class Remove:
    """-> {"file": {"id", "name"}}"""

    op: ClassVar[str] = "remove"
    ticket: Ticket
    file: int


@dataclass(frozen=True, slots=True)
class Files:
    """-> {"files": [{"id", "name", "bytes", "digest", "index", "created", "holders": [worker ids]}], "more": bool}

    By id, those after file `after`, at most `PAGE_ROWS`.
    """

    op: ClassVar[str] = "files"
    after: int = 0


@value
class FindFile:
    """-> {"file": row as in `Files`}. `file` is an id (as text), or a name if only one file has it."""

    op: ClassVar[str] = "file"
    file: str


@value
class Read:
    """-> {"size_bytes": int}, body: up to `length` bytes (at most `CHUNK_BYTES`) of the blob from `offset`.

    The bytes are named by their digest, so any worker that holds them may answer.
    """

    op: ClassVar[str] = "read"
    digest: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Verify:
    """Re-hash files and models on every worker: the page of them that comes behind the one named `after`.

    -> {"equal": bool, "files": [{"id", "name", "digest", "holders": {worker: "ok" | "missing" | "corrupt"}}], "after": str}
    Models are rows whose id is the model's. The answer's `after` asks for the next page; it is "" after the last. A worker
    that cannot be reached is not among the holders.
    """

    op: ClassVar[str] = "verify"
    after: str = ""


# --- training and models


@value
class AddExample:
    """An image into the data set of that name, which its first example makes. Body: as in `Put`; a larger one comes first.

    -> {"record", "index"}
    """

    op: ClassVar[str] = "example"
    ticket: Ticket
    dataset: str
    label: str
    digest: str
    size_bytes: int


@value
class FindDataset:
    """-> {"dataset": {"id", "name", "examples", "digest", "classes": how many labels, "labels": {label: how many}}}

    The first 1,000 labels; `Train` takes the id.
    """

    op: ClassVar[str] = "dataset"
    dataset: str


@value
class Datasets:
    """-> {"datasets": [{"id", "name", "examples", "digest", "classes": how many labels, "created"}], "more": bool}

    By id, those after data set `after`, at most `PAGE_ROWS`.
    """

    op: ClassVar[str] = "datasets"
    after: int = 0


@value
class Examples:
    """-> {"examples": [{"id", "label", "bytes", "digest", "created"}], "more": bool}; `Read` gives the image's bytes.

    The newest first, those before example `before`, at most `PAGE_ROWS`; with `label` only those of that label.
    """

    op: ClassVar[str] = "examples"
    dataset: str
    before: int | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Train:
    """-> {"model": id}: the job is in the log; it starts by itself."""

    op: ClassVar[str] = "train"
    ticket: Ticket
    spec: TrainSpec


@dataclass(frozen=True, slots=True)
class Models:
    """-> {"models": [{"id", "name", "status", "arch", "digest", "test_accuracy", "progress"}], "more": bool}"""

    op: ClassVar[str] = "models"
    after: str = ""


@dataclass(frozen=True, slots=True)
class ShowModel:
    """-> {"model": {as in `Models`, and "epochs", "rounds", "round", "seconds", "images_per_second", "history", "spec",
    "lineage", "checkpoints": [{"round", "digest", "chain"}], "error", "created", "index"}}

    While it trains also "loss", "work": {worker: shards}, and the seconds of a round that went to computing and to the
    way of the states between the workers, "computing_s" and "travelling_s".

    With `seen` (the "version" of an earlier answer) the answer waits up to `wait_s` seconds for a newer version.
    """

    op: ClassVar[str] = "model"
    model: str
    seen: int | None = None
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Audit:
    """Compute the rounds from a checkpoint that was kept to the next one again. Any worker answers, by its own processes.

    -> {"audit": {"model", "worker", "from_round", "to_round", "seconds", "equal": bool, "expected": {"digest", "chain"},
    "found": {the same}, "computed_on": {"numpy", "blas", "blas_kernel", "simd", "machine"}, "unlike": [those of them in
    which this worker and the model's lineage differ]}}

    `round` is where to begin, 0 or the round of one of the model's "checkpoints"; None: the worker chooses at random.
    """

    op: ClassVar[str] = "audit"
    model: str
    round: int | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """-> {"model": id, "status": str}"""

    op: ClassVar[str] = "cancel"
    ticket: Ticket
    model: str


@dataclass(frozen=True, slots=True)
class Promote:
    """Let `alias` of the model's name point to it: `model` is an id or "name@version", and trained.

    -> {"alias": "name@alias", "model": id, "before": id or null}
    """

    op: ClassVar[str] = "promote"
    ticket: Ticket
    model: str
    alias: str


@dataclass(frozen=True, slots=True)
class RollBack:
    """-> as `Promote`: `alias` ("name@alias") points to the model that it pointed to before."""

    op: ClassVar[str] = "roll_back"
    ticket: Ticket
    alias: str


@dataclass(frozen=True, slots=True)
class NoteEvaluation:
    """Keep with a trained model, in place of an earlier one, what an evaluation has found. -> {"model": id, "index"}"""

    op: ClassVar[str] = "evaluated"
    ticket: Ticket
    model: str
    evaluation: Evaluation


@dataclass(frozen=True, slots=True)
class Predict:
    """Body: the inputs' bytes, one after the other. Any worker answers, when the record of it is committed: at `index`.

    While the leader's disk is full there is no record, and "recorded" is false: the answer is true at `index` then, too.
    -> {"model", "digest", "term", "index", "recorded", "worker", "labels": [text], "kind"}, body: little-endian float32
    [inputs, labels]: of `kind` "classes" the probability of each label, of "numbers" the value of each output
    """

    op: ClassVar[str] = "predict"
    model: str
    inputs: tuple[PredictInput, ...]


Operation = (
    Status | OpenSession | Records | AddMember | RemoveMember | TransferLeader | Trace | BeginUpload | UploadChunk
    | FinishUpload | AbandonUpload | Put | Remove | Files | FindFile | Read
    | Verify | AddExample | FindDataset | Datasets | Examples
    | Train | Models | ShowModel | Audit | Cancel | Promote | RollBack | NoteEvaluation | Predict
)  # fmt: skip

ANY_WORKER: frozenset[type[Any]] = frozenset((Read, AbandonUpload, Audit, Predict, Trace))
"""What others than the leader answer, too."""

OPERATIONS: dict[str, type[Any]] = {
    operation.op: operation
    for operation in (
        Status, OpenSession, Records, AddMember, RemoveMember, TransferLeader, Trace, BeginUpload, UploadChunk, FinishUpload,
        AbandonUpload, Put, Remove, Files, FindFile, Read,
        Verify, AddExample, FindDataset, Datasets, Examples,
        Train, Models, ShowModel, Audit, Cancel, Promote, RollBack, NoteEvaluation, Predict,
    )
}  # fmt: skip
