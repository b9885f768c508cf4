"""Workers that come and go while the cluster serves, and disks that come back empty."""

import json
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from backend.client import ClusterClient
from backend.transfers import upload
from shared.errors import Busy, MinkaError, Refused
from shared.messages import AddMember, RemoveMember, TransferLeader
from tests.live.cluster import LiveCluster, free_ports, wait_for, whole_on

Start = Callable[..., LiveCluster]


def test_a_planned_transfer_fails_no_request(start_cluster: Start) -> None:
    cluster = start_cluster()
    stop, errors, stored = threading.Event(), list[MinkaError](), list[int]()

    def send() -> None:
        with cluster.client() as client:
            while not stop.is_set():
                try:
                    stored.append(upload(client, b"x", f"{len(stored)}", no_progress)["id"])
                except MinkaError as error:
                    errors.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    with cluster.client() as client:
        for target in ("w2", "w3", "w1"):
            before = len(stored)
            answer = client.call(TransferLeader(target)).header
            assert answer["leader"] == target
            wait_for("the client goes on", lambda before=before: len(stored) > before + 5)
    stop.set()
    thread.join()
    assert not errors
    assert len(set(stored)) == len(stored)


def test_a_worker_is_added_catches_up_and_another_is_removed(start_cluster: Start) -> None:
    cluster = start_cluster()
    with cluster.client() as client:
        upload(client, bytes(300_000), "large", no_progress)
        upload(client, b"small", "small", no_progress)
        enlarge(cluster, "w4")
        answer = client.call(AddMember("w4", f"127.0.0.1:{cluster.ports['w4']}"), answer_s=60).header
        assert {row["id"]: row["voter"] for row in answer["members"]} == dict.fromkeys(cluster.ids, True)
        assert whole_on(client, cluster.ids)

        removed = cluster.leader()
        rest = [id for id in cluster.ids if id != removed]
        answer = client.command(lambda ticket: RemoveMember(ticket, removed), answer_s=60).header
        assert [row["id"] for row in answer["members"]] == rest
        cluster.kill(removed)
        upload(client, b"later", "later", no_progress)
        wait_for("the rest hold everything", lambda: whole_on(client, rest))
        with pytest.raises(Refused, match="no worker"):
            client.command(lambda ticket: RemoveMember(ticket, "w9"))


def test_a_removal_that_would_stop_the_cluster_is_not_begun(start_cluster: Start) -> None:
    cluster = start_cluster()
    with cluster.client(timeout_s=5) as client:
        leader = cluster.leader()
        missing, other = [id for id in cluster.ids if id != leader]
        cluster.kill(missing)
        wait_for("the leader misses it", lambda: not reach_of(client, missing))
        for id in (other, leader):
            with pytest.raises(Busy, match="too few of the workers"):
                client.command(lambda ticket, id=id: RemoveMember(ticket, id))
        upload(client, b"kept", "kept", no_progress)
        left = client.command(lambda ticket: RemoveMember(ticket, missing), answer_s=60).header["members"]
        assert [row["id"] for row in left] == sorted([leader, other])


def test_an_addition_goes_on_under_the_next_leader(start_cluster: Start) -> None:
    """The leader is killed when the newcomer is a learner; the client asks the next one the same again."""
    cluster = start_cluster()
    with cluster.client() as client, ThreadPoolExecutor(1) as thread:
        upload(client, bytes(300_000), "large", no_progress)
        leader = cluster.leader()
        enlarge(cluster, "w4")
        asked = thread.submit(client.call, AddMember("w4", f"127.0.0.1:{cluster.ports['w4']}"), answer_s=60)
        wait_for("w4 has its place", lambda: "takes part" in cluster.log("w4"))
        cluster.pause("w4")
        cluster.kill(leader)
        cluster.resume("w4")
        members = {row["id"]: row["voter"] for row in asked.result().header["members"]}
        assert members == dict.fromkeys(cluster.ids, True)


def test_a_removal_whose_leader_dies_is_answered_by_the_next(start_cluster: Start) -> None:
    """It is killed when the first of the others shows that the worker has left; its answer is lost, or just came."""
    cluster = start_cluster(size=4)
    with cluster.client() as client, ThreadPoolExecutor(1) as thread:
        leader = cluster.leader()
        gone, watched, _ = [id for id in cluster.ids if id != leader]
        asked = thread.submit(client.command, lambda ticket: RemoveMember(ticket, gone), answer_s=60)
        wait_for("the record of it", lambda: f"{gone} left the cluster" in summaries(cluster, watched))
        cluster.kill(leader)
        assert [row["id"] for row in asked.result().header["members"]] == [
            id for id in cluster.ids if id != gone
        ]
        upload(client, b"later", "later", no_progress)


def test_a_wiped_disk_comes_back_as_a_learner_and_loses_nothing(start_cluster: Start) -> None:
    cluster = start_cluster()
    with cluster.client() as client:
        upload(client, bytes(300_000), "large", no_progress)
        upload(client, b"small", "small", no_progress)
        wiped = next(id for id in cluster.ids if id != cluster.leader())
        cluster.kill(wiped)
        shutil.rmtree(cluster.directory / wiped)
        cluster.start(wiped)
        wait_for("the wiped worker holds everything again", lambda: whole_on(client, cluster.ids))
        assert "takes part" in cluster.log(wiped)
        status = cluster.ready()
        assert {one["applied_index"] for one in status["workers"]} == {status["commit_index"]}
        wait_for("its monitor shows why", lambda: "another disk" in summaries(cluster, wiped))


def test_a_wiped_majority_never_makes_a_new_past(start_cluster: Start) -> None:
    cluster = start_cluster()
    with cluster.client() as client:
        upload(client, b"kept", "kept", no_progress)
    survivor, *wiped = cluster.ids
    for id in cluster.ids:
        cluster.kill(id)
    for id in wiped:
        shutil.rmtree(cluster.directory / id)
    for id in cluster.ids:
        cluster.start(id)
    wait_for("the survivor looks for a majority", lambda: cluster.log(survivor).count("candidate"))
    with cluster.client(timeout_s=3) as client, pytest.raises(MinkaError):
        client.status()


def test_a_damaged_log_is_laid_aside_and_made_new(start_cluster: Start) -> None:
    cluster = start_cluster()
    with cluster.client() as client:
        for number in range(20):
            upload(client, os.urandom(5_000), f"file {number}", no_progress)
        damaged = next(id for id in cluster.ids if id != cluster.leader())
        cluster.terminate(damaged)
        (segment,) = (cluster.directory / damaged / "log").glob("*.log")
        data = bytearray(segment.read_bytes())
        data[20_000] ^= 0x10
        segment.write_bytes(data)
        cluster.start(damaged)
        wait_for("the damaged worker holds everything again", lambda: whole_on(client, cluster.ids))
    assert "ALARM" in cluster.log(damaged)
    assert (cluster.directory / damaged / "damaged-1" / "log").exists()


def reach_of(client: ClusterClient, id: str) -> bool:
    """Whether the leader hears from this worker."""
    (row,) = [row for row in client.status()["workers"] if row["id"] == id]
    return bool(row["reachable"])


def enlarge(cluster: LiveCluster, id: str) -> None:
    """Start one more worker, which knows the others."""
    cluster.ports[id], cluster.monitors[id] = free_ports(2)
    cluster.ids.append(id)
    cluster.start(id)


def summaries(cluster: LiveCluster, id: str) -> str:
    """Of all records that the monitor of `id` shows now; it hears of them a moment after they are applied."""
    return "\n".join(row["summary"] for row in cluster.monitor(id, "/api/records?after=0")["records"])


def no_progress(done: int, total: int) -> None:
    """Nobody watches."""


def test_keys_are_not_in_any_log(start_cluster: Start) -> None:
    cluster = start_cluster(size=1)
    keys = json.loads((cluster.directory / "cluster.keys").read_text())
    cluster.terminate("w1")
    for path in cluster.directory.rglob("*"):
        if path.is_file() and path.suffix != ".keys":
            text = path.read_bytes()
            assert not any(key.encode() in text or bytes.fromhex(key) in text for key in keys.values()), path
