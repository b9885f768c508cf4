"""Files reach the cluster and come back as they were, or not at all; what broke off goes on."""

import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backend import transfers
from backend.client import ClusterClient
from backend.transfers import Cancelled, download, fetch, upload
from shared.errors import BytesMissing, NoSpace, OutcomeUnknown, Refused
from shared.messages import CHUNK_BYTES, INLINE_BYTES, NAME_CHARACTERS
from tests.unit.backend.fake_cluster import Asked, FakeCluster, HangUp, Reply

Connect = Callable[..., ClusterClient]


def content(size_bytes: int) -> bytes:
    return random.Random(size_bytes).randbytes(size_bytes)


def test_a_small_file_travels_with_its_command(
    cluster: FakeCluster, connect: Connect, tmp_path: Path
) -> None:
    data = content(INLINE_BYTES)
    (tmp_path / "small").write_bytes(data)
    row = upload(connect(0), tmp_path / "small", "small")
    assert row["digest"] == hashlib.sha256(data).hexdigest()
    assert "chunk" not in cluster.operations()
    assert bytes(cluster.blobs[row["digest"]]) == data


@pytest.mark.parametrize("size_bytes", [INLINE_BYTES + 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 7])
def test_a_large_file_is_uploaded_in_chunks(
    cluster: FakeCluster, connect: Connect, tmp_path: Path, size_bytes: int
) -> None:
    data = content(size_bytes)
    (tmp_path / "large").write_bytes(data)
    seen: list[tuple[int, int]] = []
    row = upload(connect(0), tmp_path / "large", "large", lambda done, total: seen.append((done, total)))
    assert bytes(cluster.blobs[row["digest"]]) == data
    assert seen[-1] == (size_bytes, size_bytes)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert cluster.operations()[-1] == "put"


def test_bytes_and_an_empty_file_are_files_too(cluster: FakeCluster, connect: Connect) -> None:
    assert upload(connect(0), b"", "empty")["bytes"] == 0
    assert upload(connect(0), content(100_000), "bytes")["bytes"] == 100_000


def test_an_upload_goes_on_where_an_earlier_one_broke_off(
    cluster: FakeCluster, connect: Connect, tmp_path: Path
) -> None:
    data = content(3 * CHUNK_BYTES)
    digest = hashlib.sha256(data).hexdigest()
    cluster.blobs[digest] = bytearray(data[: 2 * CHUNK_BYTES])
    upload(connect(0), data, "large")
    assert [request.offset for request in cluster.requests("chunk")] == [2 * CHUNK_BYTES]


def test_bytes_that_the_cluster_holds_already_are_not_sent(cluster: FakeCluster, connect: Connect) -> None:
    data = content(2 * CHUNK_BYTES)
    upload(connect(0), data, "first")
    sent = len(cluster.requests("chunk"))
    upload(connect(0), data, "second")
    assert len(cluster.requests("chunk")) == sent
    assert [row["name"] for row in cluster.files] == ["first", "second"]


def test_a_new_leader_with_fewer_bytes_is_given_what_it_lacks(cluster: FakeCluster, connect: Connect) -> None:
    data = content(4 * CHUNK_BYTES)
    digest = hashlib.sha256(data).hexdigest()

    def die(asked: Asked) -> Reply | None:
        with cluster.lock:
            del cluster.blobs[digest][CHUNK_BYTES:]
            cluster.leader = 1
        asked.worker.kill()
        raise HangUp

    cluster.on("chunk", lambda asked: None, times=2)
    cluster.on("chunk", die)
    row = upload(connect(0), data, "large")
    assert row["digest"] == digest
    assert bytes(cluster.blobs[digest]) == data


def test_a_leader_that_lost_the_upload_makes_it_begin_again(cluster: FakeCluster, connect: Connect) -> None:
    data = content(2 * CHUNK_BYTES)

    def forgotten(asked: Asked) -> Reply | None:
        cluster.blobs.clear()
        raise Refused("No such upload was begun here.")

    cluster.on("chunk", lambda asked: None)
    cluster.on("chunk", forgotten)
    upload(connect(0), data, "large")
    assert cluster.operations().count("upload") == 2


def test_a_leader_without_the_bytes_is_given_them_before_they_are_named(
    cluster: FakeCluster, connect: Connect
) -> None:
    """A majority held them, and the next leader was none of it: the same ticket must be used."""
    data = content(2 * CHUNK_BYTES)

    def new_leader(asked: Asked) -> Reply | None:
        cluster.blobs.clear()
        raise BytesMissing("The bytes of this file are not here.")

    cluster.on("put", new_leader)
    row = upload(connect(0), data, "large")
    assert bytes(cluster.blobs[row["digest"]]) == data
    assert len({request.ticket for request in cluster.requests("put")}) == 1


def test_bytes_that_come_to_the_next_leader_by_themselves_are_not_missing(
    cluster: FakeCluster, connect: Connect
) -> None:
    def not_yet(asked: Asked) -> Reply | None:
        raise BytesMissing("The bytes of this file are not here.", "Upload them first.")

    cluster.on("put", not_yet)
    assert upload(connect(0), content(2 * CHUNK_BYTES), "large")["bytes"] == 2 * CHUNK_BYTES
    assert len({request.ticket for request in cluster.requests("put")}) == 1


def test_an_upload_whose_name_may_be_there_already_does_not_seem_refused(
    cluster: FakeCluster, connect: Connect
) -> None:
    """The answer to the name was lost; the next leader lacks the bytes, and has no room for them."""

    def hang_up(asked: Asked) -> Reply | None:
        raise HangUp

    def missing(asked: Asked) -> Reply | None:
        raise BytesMissing("The bytes of this file are not here.", "Upload them first.")

    def full(asked: Asked) -> Reply | None:
        raise NoSpace("The leader's disk is full.", "Remove files.")

    def begins(asked: Asked) -> Reply | None:
        cluster.on("upload", full)
        return None

    cluster.on("upload", begins)
    cluster.on("put", hang_up)
    cluster.on("put", missing)
    with pytest.raises(OutcomeUnknown, match="disk is full"):
        upload(connect(0), content(2 * CHUNK_BYTES), "large")


def test_an_upload_whose_name_is_refused_ends(cluster: FakeCluster, connect: Connect) -> None:
    def refuse(asked: Asked) -> Reply | None:
        raise Refused("No more files are taken.")

    cluster.on("put", refuse, times=10)
    with pytest.raises(Refused, match="No more files"):
        upload(connect(0), content(2 * CHUNK_BYTES), "large")
    assert len(cluster.requests("put")) == 1


def test_an_upload_that_is_always_refused_ends(cluster: FakeCluster, connect: Connect) -> None:
    def full(asked: Asked) -> Reply | None:
        raise Refused("The disk of w1 is full.", "Remove something.")

    cluster.on("chunk", full, times=100)
    with pytest.raises(Refused, match="disk of w1 is full"):
        upload(connect(0), content(2 * CHUNK_BYTES), "large")
    assert cluster.files == []


def test_a_file_that_changes_while_it_is_uploaded_is_told(
    cluster: FakeCluster, connect: Connect, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    path.write_bytes(content(2 * CHUNK_BYTES))

    def shrink(asked: Asked) -> Reply | None:
        path.write_bytes(b"rewritten")
        return None

    cluster.on("upload", shrink)
    with pytest.raises(Refused, match="'log' changed while it was uploaded"):
        upload(connect(0), path, "log")
    assert cluster.files == []


def test_a_file_that_is_missing_is_told(connect: Connect, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be read"):
        upload(connect(0), tmp_path / "none", "none")


def test_a_file_above_4_gib_is_refused_before_a_byte_is_read(
    cluster: FakeCluster, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(4 * 2**30 + 1)  # a hole: it takes no space
    monkeypatch.setattr(transfers, "_digest", lambda stream: pytest.fail("it was read"))
    with pytest.raises(Refused, match="at most 4,294,967,296 bytes"):
        upload(connect(0), path, "huge")
    assert cluster.files == []


@pytest.mark.parametrize("name", ["ñandú 🦙 \u202e.png", "../../etc/passwd", "a\nb", "\\\\host\\share", "."])
def test_a_name_is_data(cluster: FakeCluster, connect: Connect, name: str) -> None:
    assert upload(connect(0), b"x", name)["name"] == name


def test_a_name_from_a_disk_of_another_encoding_becomes_text(cluster: FakeCluster, connect: Connect) -> None:
    assert upload(connect(0), b"x", os.fsdecode(b"caf\xe9"))["name"] == "caf?"


@pytest.mark.parametrize("name", ["", "   ", "n" * (NAME_CHARACTERS + 1)])
def test_a_name_that_nobody_could_use_is_refused(connect: Connect, name: str) -> None:
    with pytest.raises(Refused, match="name of a file"):
        upload(connect(0), b"x", name)


def cancel_after(chunks: int) -> Callable[[int, int], None]:
    left = iter(range(chunks))

    def progress(_done: int, _total: int) -> None:
        if next(left, None) is None:
            raise Cancelled

    return progress


def test_an_upload_that_is_cancelled_is_abandoned_on_every_worker(
    cluster: FakeCluster, connect: Connect
) -> None:
    client = connect(0)
    client.status()
    told: list[str] = []

    def abandoned(asked: Asked) -> Reply | None:
        told.append(asked.worker.id)
        if asked.worker.id == "w1":
            raise HangUp
        return {}, b""

    cluster.on("abandon", abandoned, times=3)
    with pytest.raises(Cancelled):
        upload(client, content(3 * CHUNK_BYTES), "large", cancel_after(1))
    assert told == ["w1", "w2", "w3"]
    assert cluster.files == []


def test_a_download_that_is_cancelled_leaves_nothing(
    cluster: FakeCluster, connect: Connect, tmp_path: Path
) -> None:
    client = connect(0)
    row = put(client, 3 * CHUNK_BYTES)
    with pytest.raises(Cancelled):
        download(client, row, tmp_path / "copy", cancel_after(2))
    assert list(tmp_path.iterdir()) == []


def put(client: ClusterClient, size_bytes: int) -> dict[str, Any]:
    return upload(client, content(size_bytes), "data")


@pytest.mark.parametrize("size_bytes", [0, 5, 2 * CHUNK_BYTES + 7])
def test_a_download_is_the_file(
    cluster: FakeCluster, connect: Connect, tmp_path: Path, size_bytes: int
) -> None:
    client = connect(0)
    got = download(client, put(client, size_bytes), tmp_path / "copy")
    assert got.path.read_bytes() == content(size_bytes)
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_a_download_that_broke_off_goes_on(cluster: FakeCluster, connect: Connect, tmp_path: Path) -> None:
    client = connect(0)
    row = put(client, 3 * CHUNK_BYTES)

    def gone(asked: Asked) -> Reply | None:
        raise Refused("These bytes are not here.")

    cluster.on("read", lambda asked: None)
    cluster.on("read", gone, times=10)
    with pytest.raises(Refused):
        download(client, row, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    cluster.scripts.clear()
    before = len(cluster.requests("read"))
    download(client, row, tmp_path / "copy")
    assert [request.offset for request in cluster.requests("read")[before:]] == [CHUNK_BYTES, 2 * CHUNK_BYTES]
    assert (tmp_path / "copy").read_bytes() == content(3 * CHUNK_BYTES)


def test_a_download_with_a_flipped_bit_never_appears(
    cluster: FakeCluster, connect: Connect, tmp_path: Path
) -> None:
    client = connect(0)
    row = put(client, 100_000)
    cluster.blobs[row["digest"]][77] ^= 1
    (tmp_path / "copy").write_bytes(b"what was there before")
    with pytest.raises(Refused, match="not those of the digest"):
        download(client, row, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"what was there before"
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(Refused, match="not those of the digest"):
        fetch(client, row["digest"], row["bytes"])


@pytest.mark.parametrize("size_bytes", [100_000, 2 * CHUNK_BYTES + 7])
def test_when_one_copy_is_damaged_the_bytes_come_from_another(
    cluster: FakeCluster, connect: Connect, tmp_path: Path, size_bytes: int
) -> None:
    client = connect(0)
    client.status()
    row = put(client, size_bytes)
    cluster.blobs[row["digest"]][77] ^= 1

    def whole_on_w3(asked: Asked) -> Reply | None:
        if asked.worker.id != "w3":
            return None
        end = asked.request.offset + asked.request.length
        return {"size_bytes": size_bytes}, content(size_bytes)[asked.request.offset : end]

    cluster.on("read", whole_on_w3, times=50)
    assert download(client, row, tmp_path / "copy").path.read_bytes() == content(size_bytes)
    assert fetch(client, row["digest"], row["bytes"]) == content(size_bytes)
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_another_worker_is_asked_when_the_leader_has_not_the_bytes(
    cluster: FakeCluster, connect: Connect, tmp_path: Path
) -> None:
    client = connect(0)
    row = put(client, 10)

    def only_w3(asked: Asked) -> Reply | None:
        if asked.worker.id != "w3":
            raise Refused("These bytes are not here.")
        return {"size_bytes": 10}, content(10)

    cluster.on("read", only_w3, times=10)
    assert download(client, row, tmp_path / "copy").path.read_bytes() == content(10)


def test_a_target_that_cannot_be_written_is_told(
    cluster: FakeCluster, connect: Connect, tmp_path: Path
) -> None:
    client = connect(0)
    with pytest.raises(Refused, match="cannot be written"):
        download(client, put(client, 10), tmp_path / "none" / "copy")
