"""Files on a live cluster: nothing acknowledged is lost, whoever dies."""

import hashlib
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backend.local_names import free_path
from backend.transfers import Cancelled, add_example, download, fetch, upload
from shared.errors import AccessDenied, MinkaError, NoSpace, Refused
from shared.messages import Files, FindFile, Put, Remove, Ticket, Verify
from tests.live.cluster import LiveCluster, wait_for

Start = Callable[..., LiveCluster]


def test_a_file_is_the_same_on_every_worker_and_comes_back(start_cluster: Start) -> None:
    cluster = start_cluster()
    small, large = b"small", random.Random(1).randbytes(3_000_000)
    with cluster.client() as client:
        rows = [
            upload(client, data, name, no_progress) for name, data in (("small", small), ("large", large))
        ]
        assert [fetch(client, row["digest"], row["bytes"]) for row in rows] == [small, large]
        verified = wait_for("equal files", lambda: equal_everywhere(client.call(Verify()).header, 3))
        assert {row["digest"] for row in verified["files"]} == {row["digest"] for row in rows}


def test_acknowledged_files_survive_kill_9_of_the_leader_during_upload(start_cluster: Start) -> None:
    cluster = start_cluster()
    acknowledged: dict[int, str] = {}
    stop, half_way = threading.Event(), threading.Event()
    errors: list[MinkaError] = []

    def send(number: int) -> None:
        bytes_of = random.Random(number)
        with cluster.client(name=f"client-{number}") as client:
            for count in range(1_000):
                if stop.is_set():
                    return
                size = 200_000 if count % 10 == 0 else bytes_of.randrange(1, 5_000)
                data = bytes_of.randbytes(size)
                try:
                    row = upload(client, data, f"{number}-{count}", no_progress)
                except MinkaError as error:
                    errors.append(error)
                    return
                acknowledged[row["id"]] = hashlib.sha256(data).hexdigest()
                if len(acknowledged) >= 40:
                    half_way.set()

    threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    assert half_way.wait(30)
    killed = cluster.leader()
    before = len(acknowledged)
    cluster.kill(killed)
    wait_for("uploads go on under the next leader", lambda: len(acknowledged) >= before + 40)
    stop.set()
    for thread in threads:
        thread.join()
    assert not errors

    with cluster.client() as client:
        verified = client.call(Verify()).header
        assert {row["id"]: row["digest"] for row in verified["files"]} == acknowledged
        assert equal_everywhere(verified, 2)
        cluster.start(killed)
        cluster.ready()
        verified = client.call(Verify()).header
        assert {row["id"]: row["digest"] for row in verified["files"]} == acknowledged
        assert equal_everywhere(verified, 3)
    digests = {row["state_digest"] for row in cluster.ready()["workers"]}
    assert len(digests) == 1


def test_an_upload_that_is_cancelled_leaves_nothing_on_any_worker(start_cluster: Start) -> None:
    cluster = start_cluster()
    data = random.Random(1).randbytes(4_000_000)

    def part_way(done: int, _total: int) -> None:
        if done >= 2_000_000:
            assert any(partials(cluster))
            raise Cancelled

    with cluster.client() as client:
        with pytest.raises(Cancelled):
            upload(client, data, "large", part_way)
        assert not any(partials(cluster))
        row = upload(client, data, "again", no_progress)
        assert fetch(client, row["digest"], row["bytes"]) == data


def test_an_upload_goes_on_under_the_next_client_and_the_next_leader(start_cluster: Start) -> None:
    cluster = start_cluster()
    data = random.Random(1).randbytes(6_000_000)

    class Gone(Exception):
        """The client's process has ended."""

    def gone(done: int, _total: int) -> None:
        if done >= 4_000_000:
            raise Gone

    with cluster.client() as client, pytest.raises(Gone):
        upload(client, data, "large", gone)
    sent: list[int] = []

    def kill_the_leader(done: int, _total: int) -> None:
        if not sent:
            cluster.kill(cluster.leader())
        sent.append(done)

    with cluster.client() as client:
        row = upload(client, data, "large", kill_the_leader)
        assert sent[0] > 4_000_000
        assert fetch(client, row["digest"], row["bytes"]) == data
        assert [file["id"] for file in client.call(Files()).header["files"]] == [row["id"]]


def partials(cluster: LiveCluster) -> list[Path]:
    return [path for id in cluster.ids for path in (cluster.directory / id / "blobs" / "partial").iterdir()]


def test_beyond_its_quota_a_cluster_takes_nothing_new_and_reads_and_removes(start_cluster: Start) -> None:
    cluster = start_cluster(options=("--quota", str(80 * 1_048_576)))
    with cluster.client() as client:
        kept = upload(client, random.Random(1).randbytes(20_000_000), "kept", no_progress)
        with pytest.raises(NoSpace, match="quota leaves"):
            upload(client, random.Random(2).randbytes(60_000_000), "too large", no_progress)
        assert not any(partials(cluster))

        def is_full() -> bool:
            try:
                upload(client, random.Random().randbytes(4_000_000), "more", no_progress)
            except NoSpace:
                return True
            return False

        wait_for("a quota that is used up", is_full)
        assert len(fetch(client, kept["digest"], kept["bytes"])) == kept["bytes"]
        client.command(lambda ticket: Remove(ticket, kept["id"]))
        assert kept["id"] not in [row["id"] for row in client.call(Files()).header["files"]]


def test_removed_files_give_their_room_back_soon_and_are_not_missed_at_a_start(start_cluster: Start) -> None:
    cluster = start_cluster(options=("--quota", str(90 * 1_048_576), "--blob-idle", "2"))
    with cluster.client() as client:
        large, small = random.Random(1).randbytes(30_000_000), random.Random(4).randbytes(1_000_000)
        gone = [upload(client, data, "gone", no_progress) for data in (large, small)]
        kept = upload(client, random.Random(2).randbytes(1_000_000), "kept", no_progress)
        with pytest.raises(NoSpace):
            upload(client, random.Random(3).randbytes(40_000_000), "more", no_progress)
        for row in gone:
            client.command(lambda ticket, id=row["id"]: Remove(ticket, id))

        def fits() -> bool:
            try:
                upload(client, random.Random(3).randbytes(40_000_000), "more", no_progress)
            except NoSpace:
                return False
            return True

        wait_for("room for another file", fits)
    assert all("that no file has any more" in cluster.log(id) for id in cluster.ids)
    for id in cluster.ids:
        cluster.kill(id)
    for id in cluster.ids:
        cluster.start(id)
    cluster.ready()
    with cluster.client() as client:
        assert fetch(client, kept["digest"], kept["bytes"]) == random.Random(2).randbytes(1_000_000)
        verified = wait_for("equal files", lambda: equal_everywhere(client.call(Verify()).header, 3))
        assert len(verified["files"]) == 2
        assert upload(client, small, "again", no_progress)["digest"] == gone[1]["digest"]
        assert fetch(client, gone[1]["digest"], 1_000_000) == small


def test_the_same_content_costs_its_bytes_once(start_cluster: Start) -> None:
    cluster = start_cluster(options=("--compact-entries", "30"))
    small, large = random.Random(1).randbytes(60_000), random.Random(2).randbytes(300_000)

    def times_on_disk(id: str) -> int:
        paths = [path for path in (cluster.directory / id).rglob("*") if path.is_file()]
        return sum(path.read_bytes().count(small) for path in paths)

    with cluster.client() as client:
        rows = [upload(client, small, f"small {number}", no_progress) for number in range(10)]
        add_example(client, small, "ants", "red")
        cluster.ready()
        assert [times_on_disk(id) for id in cluster.ids] == [1, 1, 1]
        for number in range(3):
            upload(client, large, f"large {number}", no_progress)
        client.command(lambda ticket: Remove(ticket, rows[0]["id"]))
        for number in range(40):
            upload(client, b"%d" % number, "another", no_progress)
        wait_for("a snapshot", lambda: all("snapshot at" in cluster.log(id) for id in cluster.ids))
        assert fetch(client, rows[1]["digest"], rows[1]["bytes"]) == small
        verified = wait_for("equal files", lambda: equal_everywhere(client.call(Verify()).header, 3))
        assert len(verified["files"]) == 9 + 1 + 3 + 40
    for id in cluster.ids:
        cluster.kill(id)
    for id in cluster.ids:
        cluster.start(id)
    cluster.ready()
    with cluster.client() as client:
        upload(client, small, "after the restart", no_progress)
        assert fetch(client, rows[1]["digest"], rows[1]["bytes"]) == small
        assert equal_everywhere(client.call(Verify()).header, 3)


NAMES = [
    *(
        "../../escaped",
        "..",
        ".",
        "/absolute",
        "C:\\Windows\\x.ini",
        "\\\\host\\share",
        "a\0b",
        "NUL",
        "CON.txt",
        "a/b",
        "a\\b",
    ),
    *("invoice\u202egpj.exe", "\u200f\u0627", "ñ.png", "n\u0303.png", "🦙", "a\nb", "~", "$(x)", "x" * 1_024),
]


def test_names_are_data_on_every_worker_and_on_the_way_back(start_cluster: Start, tmp_path: Path) -> None:
    cluster = start_cluster()
    with cluster.client() as client:
        rows = {name: upload(client, name.encode(), name, no_progress) for name in NAMES}
        assert {name: row["name"] for name, row in rows.items()} == dict(zip(NAMES, NAMES, strict=True))
        assert [row["name"] for row in client.call(Files()).header["files"]] == NAMES
        for name in NAMES:  # also those that look alike are told apart
            assert client.call(FindFile(name)).header["file"]["id"] == rows[name]["id"]
        cluster.ready()
        for id in cluster.ids:
            wait_for(
                f"all names in the monitor of {id}",
                lambda id=id: [row["name"] for row in cluster.monitor(id, "/api/files")["files"]] == NAMES,
            )
        target = tmp_path / "back"
        target.mkdir()
        before = set(tmp_path.iterdir())
        for name in NAMES:
            row = rows[name]
            download(client, row, free_path(target, name, f"file-{row['id']}"), no_progress)
        assert set(tmp_path.iterdir()) == before
        assert sorted(path.read_bytes() for path in target.iterdir()) == sorted(map(str.encode, NAMES))


def test_a_repeated_command_is_applied_once(start_cluster: Start) -> None:
    cluster = start_cluster()
    tickets = []
    with cluster.client() as client:

        def put(ticket: Ticket) -> Put:
            tickets.append(ticket)
            digest = hashlib.sha256(b"x").hexdigest()
            return Put(ticket, "once", digest, 1)

        first = client.command(put, b"x").header["file"]
        again = client.call(put(tickets[0]), b"x").header["file"]
        assert first == again
        assert client.call(FindFile("once")).header["file"]["id"] == first["id"]


def test_everything_comes_back_after_all_workers_stopped(start_cluster: Start) -> None:
    cluster = start_cluster()
    with cluster.client() as client:
        row = upload(client, b"kept", "kept", no_progress)
    for id in list(cluster.processes):
        cluster.terminate(id)
    for id in cluster.ids:
        cluster.start(id)
    cluster.ready()
    with cluster.client() as client:
        assert fetch(client, row["digest"], row["bytes"]) == b"kept"
        assert equal_everywhere(client.call(Verify()).header, 3)


def test_one_worker_alone_is_a_cluster(start_cluster: Start) -> None:
    cluster = start_cluster(size=1)
    with cluster.client() as client:
        row = upload(client, bytes(100_000), "zeros", no_progress)
        assert client.call(FindFile("zeros")).header["file"]["holders"] == ["w1"]
        assert fetch(client, row["digest"], row["bytes"]) == bytes(100_000)


def test_a_wrong_key_is_refused_and_harms_nobody(start_cluster: Start) -> None:
    cluster = start_cluster(size=1)
    right = cluster.client_key
    cluster.client_key = bytes(32)
    with cluster.client(timeout_s=2) as stranger, pytest.raises(AccessDenied):
        stranger.status()
    cluster.client_key = right
    with cluster.client() as client:
        assert client.status()["leader"] == "w1"


def test_bytes_that_do_not_fit_their_digest_are_refused(start_cluster: Start) -> None:
    cluster = start_cluster(size=1)
    with cluster.client() as client:
        with pytest.raises(Refused, match="digest"):
            client.command(lambda ticket: Put(ticket, "bad", "0" * 64, 1), b"x")
        assert upload(client, b"good", "good", no_progress)["bytes"] == 4


def equal_everywhere(verified: dict[str, Any], workers: int) -> dict[str, Any] | None:
    """`verified` if every file is whole on exactly so many workers, else None."""
    rows = verified["files"]
    assert isinstance(rows, list)
    whole = all(list(row["holders"].values()) == ["ok"] * workers for row in rows)
    return verified if verified["equal"] and whole else None


def no_progress(done: int, total: int) -> None:
    """Nobody watches."""
