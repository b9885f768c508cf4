"""Logs that are compacted while the cluster serves, and workers that come back to a log which has moved on."""

import os
import random
import signal
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from backend.client import ClusterClient
from backend.transfers import fetch, upload
from shared.messages import Records, Remove, Verify
from tests.live.cluster import LiveCluster, wait_for

Start = Callable[..., LiveCluster]
OFTEN = ("--compact-entries", "40", "--blob-idle", "0.5")


def test_a_worker_that_slept_through_compactions_comes_back_equal(start_cluster: Start) -> None:
    cluster = start_cluster(options=OFTEN)
    with cluster.client() as client:
        kept = dict(store(client, number) for number in range(10))
        away = follower(cluster)
        cluster.kill(away)
        leader = cluster.leader()
        kept |= store_until(client, "a log that begins later", lambda: compactions(cluster, leader) >= 3)
        cluster.start(away)
        wait_for("the snapshot on its way", lambda: "takes the leader's snapshot" in cluster.log(away))
        cluster.ready()
        assert_equal(cluster, client, kept)
        # It goes on by itself, and has all that it may be asked for when it leads.
        kept |= dict(store(client, number) for number in range(10))
        cluster.kill(leader)
        assert_readable(client, kept)
    assert "ALARM" not in "".join(map(cluster.log, cluster.ids))


def test_all_workers_start_again_from_their_snapshots(start_cluster: Start) -> None:
    cluster = start_cluster(options=OFTEN)
    with cluster.client() as client:
        kept = store_until(
            client, "snapshots", lambda: all(compactions(cluster, id) >= 2 for id in cluster.ids)
        )
        gone = next(iter(kept))
        del kept[gone]
        client.command(lambda ticket: Remove(ticket, gone))
        digests = {row["state_digest"] for row in cluster.ready()["workers"]}
    for id in cluster.ids:
        cluster.kill(id)
    for id in cluster.ids:
        cluster.start(id)
    status = cluster.ready()
    with cluster.client() as client:
        assert_equal(cluster, client, kept)
    assert len(digests) == len({row["state_digest"] for row in status["workers"]}) == 1


def test_a_compaction_process_that_is_killed_is_repeated(start_cluster: Start) -> None:
    cluster = start_cluster(size=1, options=OFTEN)
    killed: list[int] = []

    def kill_compaction() -> bool:
        for pid in children_of(cluster.processes["w1"].pid, "worker.compaction"):
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
        return bool(killed)

    with cluster.client() as client:
        kept = dict(store(client, number) for number in range(45))
        wait_for("a compaction to kill", kill_compaction)
        wait_for("a snapshot in spite of that", lambda: compactions(cluster, "w1") >= 1)
        assert_equal(cluster, client, kept)


def test_a_worker_that_is_killed_while_it_takes_a_snapshot_takes_it_again(start_cluster: Start) -> None:
    cluster = start_cluster(options=OFTEN)
    with cluster.client() as client:
        away = follower(cluster)
        cluster.kill(away)
        leader = cluster.leader()
        kept = store_until(client, "a log that begins later", lambda: compactions(cluster, leader) >= 3)
        cluster.start(away)
        wait_for("the snapshot on its way", lambda: "takes the leader's snapshot" in cluster.log(away))
        cluster.kill(away)
        cluster.start(away)
        cluster.ready()
        assert_equal(cluster, client, kept)


def test_a_damaged_snapshot_costs_nothing(start_cluster: Start) -> None:
    cluster = start_cluster(options=OFTEN)
    with cluster.client() as client:
        hurt = follower(cluster)
        kept = store_until(client, "two snapshots", lambda: compactions(cluster, hurt) >= 3)
        cluster.ready()
        cluster.kill(hurt)
        flip_a_bit(snapshots(cluster, hurt)[-1])
        cluster.start(hurt)
        wait_for("the damage is found", lambda: "cannot be used" in cluster.log(hurt))
        cluster.ready()
        assert "laid aside" not in cluster.log(hurt)
        assert_equal(cluster, client, kept)

        known = compactions(cluster, hurt)
        store_until(client, "two snapshots again", lambda: compactions(cluster, hurt) >= known + 2)
        cluster.kill(hurt)
        for path in snapshots(cluster, hurt):
            flip_a_bit(path)
        cluster.start(hurt)
        wait_for("a new beginning", lambda: "laid aside" in cluster.log(hurt))
        kept = store_until(
            client, "its return", lambda: "takes part" in cluster.log(hurt).split("laid aside")[1]
        )
        cluster.ready()
        assert_equal(cluster, client, kept)


def test_blobs_of_removed_files_leave_the_disk_and_those_in_use_stay(start_cluster: Start) -> None:
    cluster = start_cluster(options=OFTEN)
    with cluster.client() as client:
        rows = {number: upload(client, large(number), f"{number}", no_progress) for number in range(6)}
        for number in range(3):
            file = rows[number]["id"]
            client.command(lambda ticket, file=file: Remove(ticket, file))

        def gone() -> bool:
            store(client, 1)
            return not any(
                blob(cluster, id, rows[number]).exists() for id in cluster.ids for number in range(3)
            )

        wait_for("removed bytes gone everywhere", gone)
        cluster.ready()
        for number in range(3, 6):
            assert fetch(client, rows[number]["digest"], rows[number]["bytes"]) == large(number)
        again = upload(client, large(0), "again", no_progress)
        assert fetch(client, again["digest"], again["bytes"]) == large(0)
        verified = wait_for("all whole", lambda: whole(client))
        assert verified


# --- what the tests do and look at


def store(client: ClusterClient, number: int) -> tuple[int, bytes]:
    """Put one small file; its id and bytes."""
    data = random.Random(number).randbytes(50 + number)
    return upload(client, data, f"file-{number}", no_progress)["id"], data


def store_until(client: ClusterClient, what: str, done: Callable[[], bool]) -> dict[int, bytes]:
    """Put one file after the other until `done`."""
    kept: dict[int, bytes] = {}

    def look() -> bool:
        kept.update(store(client, number) for number in range(len(kept), len(kept) + 5))
        return done()

    wait_for(what, look)
    return kept


def large(number: int) -> bytes:
    return random.Random(number).randbytes(200_000)


def follower(cluster: LiveCluster) -> str:
    leader = cluster.leader()
    return next(id for id in cluster.ids if id != leader)


def compactions(cluster: LiveCluster, id: str) -> int:
    return cluster.log(id).count("; the log begins after")


def snapshots(cluster: LiveCluster, id: str) -> list[Path]:
    return sorted((cluster.directory / id / "snapshots").glob("*.snapshot"))


def blob(cluster: LiveCluster, id: str, row: dict[str, str]) -> Path:
    return cluster.directory / id / "blobs" / row["digest"][:2] / row["digest"]


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def children_of(pid: int, module: str) -> list[int]:
    """The processes of a worker that run this module."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed if module in command_of(child)]


def command_of(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def assert_readable(client: ClusterClient, kept: dict[int, bytes]) -> None:
    for data in kept.values():
        assert fetch(client, sha256(data).hexdigest(), len(data)) == data


def assert_equal(cluster: LiveCluster, client: ClusterClient, kept: dict[int, bytes]) -> None:
    """Files, records and states are the same on every worker, and are what was stored."""
    assert_readable(client, kept)
    wait_for("whole files everywhere", lambda: whole(client))
    last = client.call(Records(tail=1)).header["records"][-1]
    for id in cluster.ids:
        wait_for("its records", lambda id=id: shows_records(cluster, id, last["record"]))


def shows_records(cluster: LiveCluster, id: str, last: int) -> bool:
    """Whether the monitor of `id` shows every record up to `last`."""
    try:
        shown = cluster.monitor(id, "/api/records?after=0")["records"]
    except OSError:
        return False  # it does not listen yet
    return [row["record"] for row in shown] == list(range(1, last + 1))


def whole(client: ClusterClient) -> bool:
    after, states = "", set()
    while True:
        page = client.call(Verify(after)).header
        states |= {state for row in page["files"] for state in row["holders"].values()}
        after = page["after"]
        if not after:
            return states == {"ok"}


def no_progress(done: int, total: int) -> None:
    """Nobody watches."""
