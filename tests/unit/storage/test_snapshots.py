"""A snapshot is read whole or not at all."""

from pathlib import Path

import pytest

from worker.raft.entries import Membership, SnapshotMeta
from worker.storage.disk import Corrupt, OsDisk
from worker.storage.snapshots import Heading, SnapshotFile, SnapshotStore, write_snapshot

HEADING = Heading(7, 2, Membership(frozenset({"w1", "w2"}), frozenset({"w3"})), "ab" * 32)
ROWS = [["file", {"name": "á\r\n\u2028", "number": number}] for number in range(4_000)]


def written(path: Path) -> SnapshotStore:
    store = SnapshotStore(OsDisk(), path)
    write_snapshot(OsDisk(), store.path(7), HEADING, iter(ROWS))
    return store


def read(file: SnapshotFile) -> list[list[object]]:
    try:
        return [row for rows in file.pieces() for row in rows]
    finally:
        file.close()


def test_what_was_written_is_read(tmp_path: Path) -> None:
    store = written(tmp_path)
    file = store.open(7)
    assert file.heading == HEADING
    assert file.size_bytes() == store.path(7).stat().st_size
    assert read(file) == ROWS


def test_an_empty_state_is_a_snapshot_too(tmp_path: Path) -> None:
    write_snapshot(OsDisk(), tmp_path / "empty", HEADING, ())
    assert read(SnapshotFile(OsDisk(), tmp_path / "empty")) == []


@pytest.mark.parametrize("at", [0, 9, 25, 200, 100_000, -1, -20, -40])
def test_a_flipped_bit_anywhere_is_found(tmp_path: Path, at: int) -> None:
    store = written(tmp_path)
    data = bytearray(store.path(7).read_bytes())
    data[at] ^= 4
    store.path(7).write_bytes(data)
    with pytest.raises(Corrupt):
        read(store.open(7))


@pytest.mark.parametrize("length", [0, 10, 30, 1_000, -36, -1])
def test_a_cut_off_snapshot_is_none(tmp_path: Path, length: int) -> None:
    store = written(tmp_path)
    store.path(7).write_bytes(store.path(7).read_bytes()[:length])
    with pytest.raises(Corrupt):
        read(store.open(7))
    store = written(tmp_path)
    with store.path(7).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(Corrupt):
        read(store.open(7))


def test_a_snapshot_travels_in_chunks(tmp_path: Path) -> None:
    source, target = written(tmp_path / "a"), SnapshotStore(OsDisk(), tmp_path / "b")
    target.receive(0, b"of an earlier try, and longer" * 10)
    offset = 0
    while data := source.chunk(7, offset, 50_000):
        target.receive(offset, data)
        offset += len(data)
    assert read(target.received()) == ROWS
    target.take(SnapshotMeta(7, 2, HEADING.membership, offset))
    assert target.indexes() == [7]
    assert read(target.open(7)) == ROWS
    assert source.chunk(8, 0, 10) is None


def test_only_what_is_kept_stays(tmp_path: Path) -> None:
    store = written(tmp_path)
    write_snapshot(OsDisk(), store.path(9), HEADING, ())
    store.receive(0, b"half")
    assert store.indexes() == [9, 7]
    store.keep([9])
    assert [path.name for path in tmp_path.iterdir()] == [store.path(9).name]
