"""Snapshots for followers that need entries which are compacted away: one chunk at a time (7, Figure 13)."""

import math

from worker.raft import follower
from worker.raft.incoming import Incoming
from worker.raft.messages import InstallSnapshot, SnapshotReply
from worker.raft.progress import Progress
from worker.raft.ready import SnapshotChunk
from worker.raft.state import State


def begin(state: State, progress: Progress) -> None:
    """Send the newest snapshot from its start."""
    if state.snapshots is not None:
        progress.become_snapshot(state.log.storage.snapshot())
        _send_chunk(state, progress)


def _send_chunk(state: State, progress: Progress) -> None:
    snapshot = progress.snapshot
    assert snapshot is not None, "begin() has chosen one"
    assert state.snapshots is not None, "begin() has found their source"
    data = state.snapshots.chunk(snapshot.index, progress.snapshot_offset, state.config.snapshot_chunk_bytes)
    if data is None:
        snapshot = state.log.storage.snapshot()
        progress.become_snapshot(snapshot)
        data = state.snapshots.chunk(snapshot.index, 0, state.config.snapshot_chunk_bytes)
        if data is None:  # it was lost: the next one will do
            progress.become_probe(progress.next)
            return
    last = progress.snapshot_offset + len(data) >= snapshot.size_bytes
    offset = progress.snapshot_offset
    state.send(InstallSnapshot(progress.id, state.id, state.term, snapshot, offset, data, last))
    progress.snapshot_sent = state.now


def handle_snapshot_reply(state: State, reply: SnapshotReply) -> None:
    """Send the chunk that the follower wants next."""
    progress = state.progress[reply.sender]
    progress.heard = state.now
    snapshot = progress.snapshot
    if snapshot is None or snapshot.index != reply.index or reply.offset >= snapshot.size_bytes:
        return
    if reply.offset != progress.snapshot_offset:
        progress.snapshot_offset = reply.offset
        _send_chunk(state, progress)


def maybe_send_again(state: State, progress: Progress) -> None:
    """The follower lives, but the chunk has not been answered for long: it may have been lost."""
    if state.now >= progress.snapshot_sent + state.election_timeout_s():
        _send_chunk(state, progress)


def forget_sent(progress: Progress) -> None:
    """The connection broke: send the chunk again as soon as the follower is heard."""
    progress.snapshot_sent = -math.inf


def handle_install_snapshot(state: State, install: InstallSnapshot) -> None:
    """Hand the next chunk to the driver; acknowledge at once what the log makes needless."""
    log, meta = state.log, install.snapshot
    incoming = state.incoming
    if incoming is not None and incoming.is_writing():
        return
    if meta.index <= log.commit:
        state.incoming = None
        follower.acknowledge(state)
        return
    if log.term(meta.index) == meta.term:
        state.incoming = None
        state.verified = max(state.verified, meta.index)
        log.commit_to(meta.index)
        follower.acknowledge(state)
        return
    if incoming is None or incoming.snapshot != meta:
        incoming = state.incoming = Incoming(meta)
    if install.offset != incoming.offset:
        state.send(SnapshotReply(install.sender, state.id, state.term, meta.index, incoming.offset))
        return
    incoming.chunk = SnapshotChunk(meta, install.offset, install.data, install.last)
    incoming.restoring = install.last


def hand_over(state: State, number: int) -> SnapshotChunk | None:
    """The chunk that came, now given to the driver in the Ready of this `number`."""
    incoming = state.incoming
    if incoming is None or incoming.chunk is None:
        return None
    chunk, incoming.chunk = incoming.chunk, None
    incoming.number = number
    incoming.offset += len(chunk.data)
    return chunk


def chunk_persisted(state: State, number: int) -> None:
    """The driver has written the chunk; after the last, storage and state machine are the snapshot's (7)."""
    incoming = state.incoming
    if incoming is None or not 0 < incoming.number <= number:
        return
    incoming.number = 0
    meta = incoming.snapshot
    if not incoming.restoring:
        if state.leader is not None:
            state.send(SnapshotReply(state.leader, state.id, state.term, meta.index, incoming.offset))
        return
    state.incoming = None
    state.log.restore(meta.index)
    state.configuration.restore(meta.index, meta.membership)
    state.verified = meta.index
    follower.acknowledge(state)
