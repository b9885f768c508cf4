"""The consensus core: Raft as a pure state machine, and the manual of its caller's duties.

Messages, time and commands go in; one `Ready` after another comes out. The core has no socket, thread, clock, disk or
global randomness, so that a whole cluster of them runs in one thread under one seed. Not thread-safe: one owner calls.

**The loop of a driver**::

    raft = Raft(config, hard_state, storage, membership, rng, now)
    for each event:
        raft.step(message, now)         a peer's message came (drop the connection on `Violation`)
        raft.tick(now)                  raft.deadline() has come
        raft.propose([...])             clients' commands, as many at once as there are
        raft.read_index(context)        a client's linearizable read
        raft.peer_lost(id, now)         a peer's connection was reset or closed
        raft.persisted(...)             the log writer has finished a Ready
        while ready := raft.ready():    then, always
            ...

**Duties for each Ready**, in order:

1. If `must_persist`: give `hard_state`, `entries` and `snapshot` to the log writer, which works strictly in order of
   Ready numbers, and goes on with the next Ready at once. Entries replace what the log has at their indexes and after.
   A `snapshot` chunk is written at its offset; with `last`, the whole snapshot replaces log and state machine, or, if it
   is of no use, call `snapshot_refused()` before it is reported: the leader then begins it anew.
2. Send `messages` now. They wait for nothing, not even for this Ready's writes: that is what lets the followers' disks
   work at the same time as the leader's.
3. Apply `committed` in order: all of it is durable here. Then call `applied(index)`; no more is handed out before.
4. Serve each read of `reads` once its `index` is applied. A read that was lost with its leader may never come back:
   the caller has its own timeout.
5. When the writer has made this Ready and all before it durable, and storage shows it: send `after_persist`, then call
   ``persisted(ready.last_index, ready.last_term, ready.number)``. One call for the newest of several Readys will do.
   An entry that must not be acknowledged yet (a blob that it names is missing) holds back only this: until the blob
   has come, *every* report names the entry before it, also that of a Ready without entries; then report the higher
   index and its term, with the newest number so far.

Call `tick` when `deadline()` has come; calling it more often does no harm. Deliver messages in any order, twice, or
never: only progress needs that some arrive. A server that comes back must come back with its disk: one that lost it
must come back under a new id, or as a learner, never as the voter that it was.

A new cluster is `HardState()`, an empty log, and the same `membership` on every server. `stable_index` tells which part
of the durable log may be acknowledged at start. Compaction is the driver's: it takes a snapshot of applied state, and
from then on `storage.first_index()` is higher. A snapshot names `applied_membership()`; `Status.membership` is the one
that counts now, by the newest entry in the log.

A call that cannot be done raises `NotLeader`, `Busy` or `Refused`; a wrong call raises ValueError; our own bug is an
AssertionError, and should end the process before it corrupts anything.
"""

from worker.raft.config import Config
from worker.raft.entries import Entry, EntryKind, HardState, Membership, SnapshotMeta
from worker.raft.errors import Busy, NotLeader, RaftError, Refused, Violation
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
from worker.raft.raft import Raft
from worker.raft.ready import (
    Leadership,
    PeerStatus,
    ProgressState,
    ReadState,
    Ready,
    Role,
    SnapshotChunk,
    Status,
)
from worker.raft.storage import LogStorage, SnapshotSource

__all__ = [
    "Append",
    "AppendReply",
    "Busy",
    "Config",
    "Entry",
    "EntryKind",
    "HardState",
    "Heartbeat",
    "HeartbeatReply",
    "InstallSnapshot",
    "Leadership",
    "LogStorage",
    "Membership",
    "Message",
    "NotLeader",
    "PeerStatus",
    "ProgressState",
    "Raft",
    "RaftError",
    "ReadReply",
    "ReadRequest",
    "ReadState",
    "Ready",
    "Refused",
    "Role",
    "SnapshotChunk",
    "SnapshotMeta",
    "SnapshotReply",
    "SnapshotSource",
    "Status",
    "TimeoutNow",
    "Violation",
    "VoteReply",
    "VoteRequest",
]
