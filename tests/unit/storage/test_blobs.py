"""Blobs: whatever has a name is whole; whatever was sent is not sent again."""

import hashlib
import threading
from pathlib import Path

import pytest

from shared.errors import Busy, Refused
from tests.unit.storage.faulty_disk import FaultyDisk, Killed
from worker.storage.blobs import BlobStore
from worker.storage.disk import DiskFailed, DiskFull, OsDisk
from worker.storage.upload import Upload

DISK = OsDisk()
DATA = bytes(range(256)) * 40
DIGEST = hashlib.sha256(DATA).hexdigest()


def begun(store: BlobStore, digest: str = DIGEST, size_bytes: int = len(DATA)) -> Upload:
    upload = store.begin(digest, size_bytes)
    assert upload is not None
    return upload


def partials(path: Path) -> list[str]:
    return DISK.list(path / "partial")


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(DISK, tmp_path)


@pytest.mark.parametrize("data", [b"", b"x", DATA])
def test_what_is_put_is_there_under_its_digest(store: BlobStore, tmp_path: Path, data: bytes) -> None:
    digest = store.put(data)
    assert digest == hashlib.sha256(data).hexdigest()
    assert store.put(data) == digest
    assert store.has(digest)
    assert store.size(digest) == len(data)
    assert store.read(digest, 0, len(data) + 1) == data
    assert store.verify(digest) == "ok"
    assert list(store.digests()) == [digest]
    assert store.begin(digest, len(data)) is None
    assert partials(tmp_path) == []


def test_a_blob_that_is_not_here_is_refused(store: BlobStore) -> None:
    assert not store.has(DIGEST)
    assert store.verify(DIGEST) == "missing"
    for ask in (lambda: store.size(DIGEST), lambda: store.read(DIGEST, 0, 1)):
        with pytest.raises(Refused, match="not on this worker"):
            ask()


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_only_digests_name_blobs(store: BlobStore, digest: str) -> None:
    for ask in (store.has, store.path, lambda digest: store.begin(digest, 1)):
        with pytest.raises(Refused, match="not a SHA-256 digest"):
            ask(digest)


def test_parts_of_a_blob_are_read(store: BlobStore) -> None:
    store.put(DATA)
    assert store.read(DIGEST, 1000, 10) == DATA[1000:1010]
    assert store.read(DIGEST, len(DATA), 10) == b""


def test_an_upload_goes_on_where_it_stopped_after_a_restart(store: BlobStore, tmp_path: Path) -> None:
    upload = begun(store)
    upload.append(0, DATA[:3000])
    upload.close()
    upload = begun(BlobStore(DISK, tmp_path))
    assert upload.offset == 3000
    assert upload.append(3000, DATA[3000:]) == len(DATA)
    assert not store.has(DIGEST)
    upload.finish()
    upload.finish()
    upload.close()
    assert store.verify(DIGEST) == "ok"
    assert partials(tmp_path) == []


def test_bytes_that_are_here_are_passed_over_and_gaps_refused(store: BlobStore) -> None:
    upload = begun(store)
    assert upload.append(0, DATA[:100]) == 100
    assert upload.append(50, DATA[50:200]) == 200
    assert upload.append(0, DATA[:200]) == 200
    with pytest.raises(Refused, match="leave a gap"):
        upload.append(201, b"x")
    with pytest.raises(Refused, match="More bytes"):
        upload.append(200, DATA)
    with pytest.raises(Refused, match="are missing"):
        upload.finish()
    upload.append(200, DATA[200:])
    upload.finish()
    upload.close()
    assert store.verify(DIGEST) == "ok"


def test_a_wrong_digest_leaves_nothing_behind(store: BlobStore, tmp_path: Path) -> None:
    upload = begun(store)
    upload.append(0, DATA[:-1] + b"?")
    with pytest.raises(Refused, match="have the digest"):
        upload.finish()
    with pytest.raises(Refused, match="upload is over"):
        upload.append(0, DATA)
    assert not store.has(DIGEST)
    assert partials(tmp_path) == []
    again = begun(store)
    assert again is not upload
    again.append(0, DATA)
    again.finish()
    upload.close()
    again.close()
    assert store.verify(DIGEST) == "ok"


def test_cancelling_leaves_nothing_unless_another_sends_the_same(store: BlobStore, tmp_path: Path) -> None:
    first, second = begun(store), begun(store)
    first.append(0, DATA[:100])
    first.cancel()
    assert second.append(100, DATA[100:200]) == 200
    second.cancel()
    assert partials(tmp_path) == []
    assert begun(store).offset == 0


def test_the_same_content_announced_with_two_sizes_is_refused(store: BlobStore) -> None:
    begun(store)
    with pytest.raises(Refused, match="announced with"):
        store.begin(DIGEST, 5)


def test_a_partial_longer_than_announced_is_started_again(store: BlobStore) -> None:
    upload = begun(store, size_bytes=len(DATA) + 5)
    upload.append(0, DATA + b"+++++")
    upload.close()
    assert begun(store).offset == 0


def test_uploads_are_limited_in_number_and_size(tmp_path: Path) -> None:
    store = BlobStore(DISK, tmp_path, max_uploads=1)
    upload = begun(store)
    with pytest.raises(Busy, match="under way"):
        store.begin("0" * 64, 1)
    upload.close()
    for size_bytes in (-1, (1 << 40) + 1):
        with pytest.raises(Refused, match="cannot have"):
            store.begin("0" * 64, size_bytes)


def test_a_blob_that_cannot_fit_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    disk = FaultyDisk()
    disk.room_bytes = 25_000
    store = BlobStore(disk, tmp_path, margin_bytes=1000)
    begun(store)  # takes 10,240 of 24,000
    begun(store, "0" * 64, 13_760)
    with pytest.raises(DiskFull, match="leave 24000"):
        store.begin("1" * 64, 1)


def test_a_disk_that_fills_meanwhile_keeps_the_offset_true(tmp_path: Path) -> None:
    disk = FaultyDisk()
    store = BlobStore(disk, tmp_path)
    upload = begun(store)
    upload.append(0, DATA[:100])
    disk.room_bytes = 50
    with pytest.raises(DiskFull):
        upload.append(100, DATA[100:])
    assert upload.offset == 100
    disk.room_bytes = None
    upload.append(100, DATA[100:])
    upload.finish()
    assert store.verify(DIGEST) == "ok"


def test_after_a_failed_sync_the_bytes_are_not_trusted(tmp_path: Path) -> None:
    disk = FaultyDisk()
    store = BlobStore(disk, tmp_path)
    upload = begun(store)
    upload.append(0, DATA)
    disk.fail_syncs = True
    with pytest.raises(DiskFailed):
        upload.finish()
    disk.fail_syncs = False
    with pytest.raises(Refused, match="upload is over"):
        upload.finish()
    upload.close()
    assert partials(tmp_path) == []


def test_a_large_upload_is_synced_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.storage.upload.SYNC_BYTES", 4000)
    disk = FaultyDisk()
    upload = begun(BlobStore(disk, tmp_path))
    for start in range(0, len(DATA), 1000):
        upload.append(start, DATA[start : start + 1000])
    assert disk.syncs == 2


def test_wherever_the_process_is_killed_a_name_means_a_whole_blob(tmp_path: Path) -> None:
    for step in range(1, 100):
        disk = FaultyDisk()
        root = tmp_path / str(step)
        disk.dies_at = step
        try:
            BlobStore(disk, root).put(DATA)
            died = False
        except Killed:
            died = True
        disk.abandon()
        store = BlobStore(DISK, root)
        assert store.verify(DIGEST) in (("ok", "missing") if died else ("ok",))
        assert store.put(DATA) == DIGEST
        assert partials(root) == []
        if not died:
            break
    assert step > 3


def test_a_flipped_bit_is_found(store: BlobStore) -> None:
    store.put(DATA)
    path = store.path(DIGEST)
    content = bytearray(path.read_bytes())
    content[5000] ^= 4
    path.write_bytes(content)
    assert store.verify(DIGEST) == "corrupt"


def test_a_finished_file_is_adopted(store: BlobStore, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(DATA)
        assert store.adopt(tmp_path / name) == DIGEST
        assert not (tmp_path / name).exists()
        assert store.verify(DIGEST) == "ok"


def test_partials_expire_once_nobody_sends_them(store: BlobStore, tmp_path: Path) -> None:
    upload = begun(store)
    upload.append(0, DATA[:10])
    written = DISK.modified(tmp_path / "partial" / DIGEST)
    assert store.expire(written + 1000, 60) == []
    upload.close()
    assert store.expire(written + 59, 60) == []
    assert store.expire(written + 61, 60) == [DIGEST]
    assert partials(tmp_path) == []


def test_many_threads_send_the_same_blob_and_it_costs_its_bytes_once(store: BlobStore) -> None:
    failures: list[BaseException] = []

    def send() -> None:
        try:
            upload = store.begin(DIGEST, len(DATA))
            if upload is None:
                return
            try:
                for start in range(0, len(DATA), 512):
                    upload.append(start, DATA[start : start + 512])
                upload.finish()
            finally:
                upload.close()
        except BaseException as error:
            failures.append(error)

    for _ in range(10):
        threads = [threading.Thread(target=send) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert store.verify(DIGEST) == "ok"
        store.path(DIGEST).unlink()
