"""Blobs that nothing names are collected, but not under the hands of who has just found them."""

import os
from pathlib import Path

import pytest

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
    store.remove(digest)
    upload = store.begin(digest, 5)
    assert upload is not None
    clock.now += 20
    upload.append(0, b"again")
    assert store.collect([digest], 10.0) == []
    upload.finish()
    assert store.collect([digest], 10.0) == []
    upload.close()
    assert store.use(digest)
