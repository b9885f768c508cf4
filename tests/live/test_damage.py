"""Bytes that flip on a disk: found when they are read, verified or scrubbed, and repaired from the other workers."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.client import ClusterClient
from backend.transfers import fetch, upload
from shared.messages import Verify
from tests.live.cluster import LiveCluster, wait_for, whole_on

Start = Callable[..., LiveCluster]
RARELY = ("--scrub-pause", "3600")
ALL = ["w1", "w2", "w3"]


def test_verify_finds_a_flipped_byte_in_a_blob_and_it_is_repaired(start_cluster: Start) -> None:
    cluster = start_cluster(options=RARELY)
    with cluster.client() as client:
        row = upload(client, random.Random(1).randbytes(300_000), "large")
        wait_for("all copies", lambda: whole_on(client, ALL))
        flip(blob(cluster, "w2", row["digest"]), 123_456)
        assert state_on(client, "w2") == "corrupt"
        wait_for("the repair", lambda: whole_on(client, ALL))
    assert_told(cluster, "w2")
    assert not any((cluster.directory / "w2" / "blobs" / "damaged").iterdir())


def test_a_blob_that_is_gone_comes_again(start_cluster: Start) -> None:
    cluster = start_cluster(options=RARELY)
    with cluster.client() as client:
        row = upload(client, random.Random(1).randbytes(300_000), "large")
        wait_for("all copies", lambda: whole_on(client, ALL))
        blob(cluster, "w2", row["digest"]).unlink()
        assert state_on(client, "w2") == "missing"
        wait_for("the repair", lambda: whole_on(client, ALL))


def test_verify_finds_a_flipped_byte_in_the_log_and_it_is_repaired(start_cluster: Start) -> None:
    cluster = start_cluster(options=RARELY)
    with cluster.client() as client:
        data = random.Random(1).randbytes(2_000)
        upload(client, data, "small")
        wait_for("all copies", lambda: whole_on(client, ALL))
        flip_in_log(cluster, "w2", data)
        assert state_on(client, "w2") == "corrupt"
        wait_for("the repair", lambda: whole_on(client, ALL))
        assert_told(cluster, "w2")
        # It is the disk that was repaired: the worker starts from it again, with nothing laid aside.
        cluster.terminate("w2")
        cluster.start("w2")
        wait_for("all copies again", lambda: whole_on(client, ALL))
    assert "ALARM" not in cluster.log("w2")


def test_an_entry_that_is_in_no_memory_comes_from_a_peer(start_cluster: Start) -> None:
    cluster = start_cluster(options=RARELY)
    with cluster.client() as client:
        data = random.Random(1).randbytes(2_000)
        upload(client, data, "small")
        away = next(id for id in ALL if id != cluster.leader())
        wait_for("all copies", lambda: whole_on(client, ALL))
        cluster.terminate(away)
        cluster.start(away)  # what it reads at its start is not kept in memory
        wait_for("all copies again", lambda: whole_on(client, ALL))
        flip_in_log(cluster, away, data)
        assert state_on(client, away) == "corrupt"
        wait_for("the repair", lambda: whole_on(client, ALL))
    assert_told(cluster, away)


def test_who_reads_a_damaged_copy_gets_the_right_bytes_and_heals_it(start_cluster: Start) -> None:
    cluster = start_cluster(options=RARELY)
    with cluster.client() as client:
        data = random.Random(1).randbytes(3_000_000)
        row = upload(client, data, "large")
        wait_for("all copies", lambda: whole_on(client, ALL))
        leader = cluster.leader()
        flip(blob(cluster, leader, row["digest"]), 2_345_678)
        assert fetch(client, row["digest"], row["bytes"]) == data
        assert_told(cluster, leader)
        assert whole_on(client, ALL)


@pytest.mark.parametrize("size_bytes", [2_000, 300_000])
def test_the_scrubber_finds_what_nobody_reads(start_cluster: Start, size_bytes: int) -> None:
    cluster = start_cluster(options=("--scrub-pause", "0.2"))
    with cluster.client() as client:
        data = random.Random(1).randbytes(size_bytes)
        row = upload(client, data, "file")
        wait_for("all copies", lambda: whole_on(client, ALL))
        if size_bytes > 65_536:
            flip(blob(cluster, "w3", row["digest"]), 5)
        else:
            flip_in_log(cluster, "w3", data)
        assert_told(cluster, "w3")
        assert whole_on(client, ALL)


@pytest.mark.parametrize("where", ["head of the segment", "term and vote", "head of a batch"])
def test_the_scrubber_finds_what_is_between_the_entries_of_the_log(start_cluster: Start, where: str) -> None:
    cluster = start_cluster(options=("--scrub-pause", "0.2"))
    with cluster.client() as client:
        data = random.Random(1).randbytes(2_000)
        upload(client, data, "small")
        wait_for("all copies", lambda: whole_on(client, ALL))
        (path,) = in_log(cluster, "w2", data)
        batch = path.read_bytes().rindex(b"MBAT", 0, path.read_bytes().index(data))
        flip(path, {"head of the segment": 70, "term and vote": 1024 + 32 + 12}.get(where, batch + 9))
        assert_told(cluster, "w2")
        cluster.terminate("w2")
        cluster.start("w2")
        wait_for("all copies again", lambda: whole_on(client, ALL))
    assert "ALARM" not in cluster.log("w2")


def test_damage_that_a_snapshot_meets_in_the_log_is_repaired_at_once(start_cluster: Start) -> None:
    cluster = start_cluster(options=("--compact-entries", "40", *RARELY))
    with cluster.client() as client:
        data = random.Random(1).randbytes(2_000)
        upload(client, data, "small")
        wait_for("all copies", lambda: whole_on(client, ALL))
        (path,) = in_log(cluster, "w2", data)
        flip(path, path.read_bytes().rindex(b"MBAT", 0, path.read_bytes().index(data)) + 9)
        for number in range(50):
            upload(client, b"%d" % number, "more")
        assert_told(cluster, "w2")
        wait_for("all copies again", lambda: whole_on(client, ALL))
    assert "no snapshot could be made" in cluster.log("w2")


def test_a_leader_repairs_an_old_entry_that_a_laggard_needs_and_leads_on(start_cluster: Start) -> None:
    cluster = start_cluster(options=RARELY)
    data = random.Random(1).randbytes(2_000)
    with cluster.client() as client:
        away = next(id for id in ALL if id != cluster.leader())
        wait_for("the session everywhere", cluster.ready)
        cluster.terminate(away)
        upload(client, data, "small")
    others = [id for id in ALL if id != away]
    for id in others:
        cluster.terminate(id)
    for id in others:
        cluster.start(id)  # what they read at their start is not kept in memory
    cluster.ready()
    leader = cluster.leader()
    flip_in_log(cluster, leader, data)
    cluster.start(away)
    cluster.ready()  # nobody has ended
    with cluster.client() as client:
        wait_for("all copies", lambda: whole_on(client, ALL))
    assert_told(cluster, leader)
    assert cluster.leader() == leader


def test_a_small_file_in_a_pack_is_repaired(start_cluster: Start) -> None:
    cluster = start_cluster(options=("--compact-entries", "40", *RARELY))
    with cluster.client() as client:
        files = {number: random.Random(number).randbytes(1_500) for number in range(100)}
        for number, data in files.items():
            upload(client, data, str(number))
        wait_for("a log that begins later", lambda: "the log begins after 4" in cluster.log("w2"))
        wait_for("all copies", lambda: whole_on(client, ALL))
        packs = [path for path in blobs(cluster, "w2") if files[0] in path.read_bytes()]
        assert packs
        for path in packs:
            flip(path, path.read_bytes().index(files[0]) + 700)
        assert state_on(client, "w2") == "corrupt"
        wait_for("the repair", lambda: whole_on(client, ALL))
    assert_told(cluster, "w2")


# --- the pieces


def blobs(cluster: LiveCluster, id: str) -> list[Path]:
    return [path for path in (cluster.directory / id / "blobs").glob("??/*") if path.is_file()]


def blob(cluster: LiveCluster, id: str, digest: str) -> Path:
    return cluster.directory / id / "blobs" / digest[:2] / digest


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x04]))


def in_log(cluster: LiveCluster, id: str, data: bytes) -> list[Path]:
    return [path for path in (cluster.directory / id / "log").iterdir() if data in path.read_bytes()]


def flip_in_log(cluster: LiveCluster, id: str, data: bytes) -> None:
    (path,) = in_log(cluster, id, data)
    flip(path, path.read_bytes().index(data) + len(data) // 2)


def state_on(client: ClusterClient, id: str) -> str:
    """The worst state of a copy on this worker."""
    states = {row["holders"].get(id) for row in client.call(Verify()).header["files"]}
    return next((state for state in ("corrupt", "missing") if state in states), "ok")


def assert_told(cluster: LiveCluster, id: str) -> None:
    """The monitor of this worker tells of one damage and, soon, of one repair, and no more."""

    def look() -> list[float] | None:
        try:
            notices = cluster.monitor(id, "/api/notices")["notices"]
        except OSError:
            return None  # it is starting
        told = [notice for notice in notices if notice["kind"] in ("damage", "repair")]
        found = [notice["kind"] for notice in told] == ["damage", "repair"]
        return [notice["time"] for notice in told] if found else None

    found_at, repaired_at = wait_for("one damage and one repair", look)
    print(f"{id} repaired it {repaired_at - found_at:.3f} s after it was found")
