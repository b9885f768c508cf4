"""Snapshots: section 7, Figure 13; dissertation 5."""

from tests.raft.cluster import Cluster
from tests.raft.lone import Lone, entries
from worker.raft import (
    Append,
    AppendReply,
    Config,
    InstallSnapshot,
    Membership,
    ProgressState,
    Role,
    SnapshotMeta,
    SnapshotReply,
)

ABC = Membership(frozenset("abc"))
META = SnapshotMeta(5, 2, ABC, size_bytes=10)
IMAGE = b'[[2,5,""]]'


def chunk(
    offset: int, end: int, term: int = 3, sender: str = "b", meta: SnapshotMeta = META
) -> InstallSnapshot:
    return InstallSnapshot("a", sender, term, meta, offset, IMAGE[offset:end], end == meta.size_bytes)


def test_figure_13_chunks_in_order_and_the_last_one_replaces_the_log() -> None:
    follower = Lone(terms=(1, 1))
    follower.step(chunk(0, 6))
    assert follower.take(SnapshotReply) == [SnapshotReply("b", "a", 3, 5, 6)]
    follower.step(chunk(6, 10))
    assert follower.take(AppendReply) == [AppendReply("b", "a", 3, 5)]
    status = follower.raft.status()
    assert (status.commit_index, status.applied_index, status.last_index, status.durable_index) == (
        5,
        5,
        5,
        5,
    )
    assert follower.disk.image == IMAGE
    follower.step(Append("a", "b", 3, 5, 2, 6, entries(6, 3)))
    assert [e.index for e in follower.applied] == [6]


def test_a_chunk_that_does_not_fit_is_answered_with_what_is_wanted() -> None:
    follower = Lone()
    follower.step(chunk(6, 10))
    assert follower.take(SnapshotReply) == [SnapshotReply("b", "a", 3, 5, 0)]
    follower.step(chunk(0, 6))
    follower.step(chunk(0, 6))
    assert follower.take(SnapshotReply) == [SnapshotReply("b", "a", 3, 5, 6)] * 2


def test_a_doubled_chunk_is_not_written_twice() -> None:
    follower = Lone(instant=False)
    follower.step(chunk(0, 6), chunk(0, 6), chunk(0, 6))
    assert len([ready for ready in follower.readys if ready.snapshot]) == 1


def test_7_a_snapshot_of_what_the_log_already_has_keeps_the_log() -> None:
    follower = Lone(terms=(1, 1, 2, 2, 2, 2))
    follower.step(chunk(0, 10))
    assert follower.take(AppendReply) == [AppendReply("b", "a", 3, 5)]
    assert follower.raft.status().commit_index == 5
    assert follower.raft.status().last_index == 6
    assert follower.disk.meta.index == 0


def test_a_snapshot_older_than_the_commit_index_is_acknowledged_only() -> None:
    follower = Lone()
    follower.step(Append("a", "b", 3, 0, 0, 6, entries(1, 1, 1, 2, 2, 2, 3)), chunk(0, 10))
    assert follower.take(AppendReply)[-1].index == 6
    assert follower.disk.meta.index == 0


def test_while_it_is_restored_a_server_neither_stands_nor_appends() -> None:
    follower = Lone(instant=False)
    follower.step(chunk(0, 10))
    follower.wait(30.0)
    assert follower.raft.status().role is Role.FOLLOWER
    follower.step(Append("a", "b", 3, 0, 0, 0, entries(1, 3)))
    assert follower.raft.status().last_index == 0
    follower.persist()
    assert follower.raft.status().last_index == 5


def test_a_new_leaders_snapshot_begins_anew() -> None:
    follower = Lone()
    follower.step(chunk(0, 6))
    other = SnapshotMeta(5, 2, ABC, size_bytes=10)
    follower.step(chunk(6, 10, term=4, sender="c", meta=other))
    assert follower.take(SnapshotReply)[-1] == SnapshotReply("c", "a", 4, 5, 0)
    follower.step(chunk(0, 10, term=4, sender="c", meta=other))
    assert follower.raft.status().commit_index == 5


def test_a_leader_sends_the_snapshot_where_its_log_begins_too_late() -> None:
    cluster = Cluster("abc", config=lambda id: Config(id, snapshot_chunk_bytes=32))
    cluster.start()
    cluster.elect("a")
    cluster["c"].crash()
    cluster.propose("a", *(f"{n}".encode() for n in range(100)))
    cluster.settle()
    cluster["a"].compact(90)
    cluster["c"].start()
    cluster.elapse(0.3)
    assert cluster["c"].disk.base == 90
    assert [e.data for e in cluster["c"].machine] == [e.data for e in cluster["a"].machine]
    assert cluster["a"].status().peers["c"].state is ProgressState.REPLICATE


def test_a_snapshot_that_is_replaced_on_the_way_begins_anew() -> None:
    cluster = Cluster("abc", config=lambda id: Config(id, snapshot_chunk_bytes=32))
    cluster.start()
    cluster.elect("a")
    cluster["c"].crash()
    cluster.propose("a", *(f"{n}".encode() for n in range(50)))
    cluster.settle()
    cluster["a"].compact(20)
    cluster["c"].start()
    cluster.now = cluster["a"].core.deadline()
    cluster.tick("a")
    for _ in range(8):
        cluster.deliver()
    assert cluster["a"].status().peers["c"].state is ProgressState.SNAPSHOT
    cluster["a"].compact(40)
    cluster.elapse(0.3)
    assert cluster["c"].disk.base == 40
    assert cluster["c"].status().commit_index == cluster["a"].status().commit_index


def test_a_lost_chunk_is_sent_again() -> None:
    cluster = Cluster("abc", config=lambda id: Config(id, snapshot_chunk_bytes=32))
    cluster.start()
    cluster.elect("a")
    cluster["c"].crash()
    cluster.propose("a", *(f"{n}".encode() for n in range(50)))
    cluster.settle()
    cluster["a"].compact(50)
    cluster["c"].start()
    cluster.now = cluster["a"].core.deadline()
    cluster.tick("a")
    while not any(isinstance(message, InstallSnapshot) for message in cluster.network):
        cluster.deliver()
    cluster.network.clear()
    cluster.elapse(1.5)
    assert cluster["c"].disk.base == 50


def test_a_membership_in_a_snapshot_is_taken_over() -> None:
    follower = Lone()
    meta = SnapshotMeta(5, 2, Membership(frozenset("abd"), frozenset("c")), size_bytes=10)
    follower.step(chunk(0, 10, meta=meta))
    assert follower.raft.status().membership == meta.membership
    assert follower.raft.applied_membership() == meta.membership
