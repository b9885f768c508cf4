"""Blobs that nothing names are collected, but not under the hands of who has just found them."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shared.errors import Refused
from worker.storage.blobs import BlobStore
from worker.storage.disk import OsDisk


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> BlobStore:
    return BlobStore(OsDisk(), tmp_path, clock=clock)


def test_what_was_not_in_use_for_long_goes(store: BlobStore, clock: Clock) -> None:
    old, young = store.put(b"old"), store.put(b"young")
    clock.now += 20
    assert store.use(young)
    clock.now += 5
    assert store.collect([old, young, "0" * 64], 10.0) == [old]
    assert not store.use(old)
    assert store.read(young, 0, 9) == b"young"


def test_whoever_is_told_that_a_blob_is_here_uses_it(store: BlobStore, clock: Clock, tmp_path: Path) -> None:
    announced, adopted, put = (store.put(data) for data in (b"announced", b"adopted", b"put"))
    clock.now += 20
    assert store.begin(announced, 9) is None
    (tmp_path / "made").write_bytes(b"adopted")
    assert store.adopt(tmp_path / "made") == adopted
    assert store.put(b"put") == put
    assert store.collect([announced, adopted, put], 10.0) == []


def test_a_store_that_was_opened_of_late_does_not_know_who_uses_what(tmp_path: Path, clock: Clock) -> None:
    digest = BlobStore(OsDisk(), tmp_path).put(b"found")
    os.utime(tmp_path / digest[:2] / digest, (1, 1))
    store = BlobStore(OsDisk(), tmp_path, clock=clock)
    assert store.collect([digest], 10.0) == []
    clock.now += 11
    assert store.collect([digest], 10.0) == [digest]


def test_a_blob_that_is_being_received_again_stays(store: BlobStore, clock: Clock) -> None:
    digest = store.put(b"again")
    store.path(digest).unlink()
    upload = store.begin(digest, 5)
    assert upload is not None
    clock.now += 20
    upload.append(0, b"again")
    assert store.collect([digest], 10.0) == []
    upload.finish()
    assert store.collect([digest], 10.0) == []
    upload.close()
    assert store.use(digest)


class SlowDisk(OsDisk):
    """Renames, removals and syncs of directories begin, and then take as long as the test likes."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def wait(self) -> None:
        if not self.go_on.is_set():
            self.begun.set()
            assert self.go_on.wait(30)

    def sync_directory(self, path: Path) -> None:
        self.wait()
        super().sync_directory(path)

    def remove(self, path: Path) -> None:
        self.wait()
        super().remove(path)

    def free_bytes(self, path: Path) -> int:
        self.wait()
        return super().free_bytes(path)


Work = Callable[[BlobStore, str, Path], object]


def adopt(store: BlobStore, digest: str, made: Path) -> object:
    return store.adopt(made)


def collect(store: BlobStore, digest: str, made: Path) -> object:
    return store.collect([digest], 10.0)


def cancel(store: BlobStore, digest: str, made: Path) -> object:
    upload = store.begin("ab" * 32, 100)
    assert upload is not None
    return upload.cancel()


def begin(store: BlobStore, digest: str, made: Path) -> object:
    return store.begin("ab" * 32, 100)


@pytest.mark.parametrize("work", [adopt, collect, cancel, begin])
def test_the_node_thread_never_waits_for_the_disk_of_others(tmp_path: Path, clock: Clock, work: Work) -> None:
    disk = SlowDisk()
    store = BlobStore(disk, tmp_path, clock=clock)
    other, idle = store.put(b"other"), store.put(b"idle")
    (tmp_path / "made").write_bytes(b"made")
    clock.now += 20
    disk.go_on.clear()
    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(work, store, idle, tmp_path / "made")
        assert disk.begun.wait(30)
        try:
            assert threads.submit(store.use, other).result(timeout=20)
        finally:
            disk.go_on.set()
        slow.result()


def test_what_is_being_removed_is_not_here_any_more_and_comes_again_afterwards(
    tmp_path: Path, clock: Clock
) -> None:
    disk = SlowDisk()
    store = BlobStore(disk, tmp_path, clock=clock)
    digest = store.put(b"idle")
    clock.now += 20
    disk.go_on.clear()
    with ThreadPoolExecutor(2) as threads:
        removal = threads.submit(store.collect, [digest], 10.0)
        assert disk.begun.wait(30)
        assert not store.use(digest)
        again = threads.submit(store.put, b"idle")
        disk.go_on.set()
        assert removal.result() == [digest]
        assert again.result() == digest
    assert store.verify(digest) == "ok"


def test_a_blob_whose_stale_beginning_expires_is_here_all_the_while(tmp_path: Path, clock: Clock) -> None:
    disk = SlowDisk()
    store = BlobStore(disk, tmp_path, clock=clock)
    digest = store.put(b"whole")
    (tmp_path / "partial" / digest).write_bytes(b"wh")
    disk.go_on.clear()
    with ThreadPoolExecutor(2) as threads:
        sweep = threads.submit(store.expire, 2e10, 10.0)
        assert disk.begun.wait(30)
        try:
            assert store.use(digest)
        finally:
            disk.go_on.set()
        assert sweep.result() == [digest]


def test_an_upload_is_over_before_its_file_goes(tmp_path: Path, clock: Clock) -> None:
    disk = SlowDisk()
    store = BlobStore(disk, tmp_path, clock=clock)
    upload = store.begin("ab" * 32, 1)
    assert upload is not None
    upload.append(0, b"x")
    disk.go_on.clear()
    with ThreadPoolExecutor(2) as threads:
        refused = threads.submit(upload.finish)
        assert disk.begun.wait(30)
        try:
            assert upload.is_over
        finally:
            disk.go_on.set()
        with pytest.raises(Refused, match="digest"):
            refused.result()
