"""The log-writer thread: everything in order, many at once, and nothing after an error."""

import threading
from pathlib import Path
from queue import Queue

import pytest

from shared.errors import Busy
from tests.unit.storage.faulty_disk import FaultyDisk, FaultyFile
from tests.unit.storage.test_log import ME, entries, everything, opened
from worker.raft.entries import HardState
from worker.storage import writer
from worker.storage.disk import DiskFailed, DiskFull
from worker.storage.log import Batch, EntryLog
from worker.storage.reserve import Reserve
from worker.storage.writer import LogWriter


class Node:
    """Stands for the node thread: hears of groups of tokens, of a failure, of a full disk."""

    def __init__(self, path: Path, reserve_bytes: int = 0) -> None:
        self.disk = FaultyDisk()
        self.log = EntryLog.open(self.disk, path, ME)
        self.groups: Queue[list[Batch]] = Queue()
        self.failures: Queue[Exception] = Queue()
        self.alarms: Queue[DiskFull] = Queue()
        reserve = Reserve(self.disk, path, reserve_bytes) if reserve_bytes else None
        if reserve is not None:
            assert reserve.restore()
        self.writer: LogWriter[Batch] = LogWriter(
            self.log,
            lambda tokens: self.groups.put(list(tokens)),
            self.failures.put,
            self.alarms.put,
            reserve,
        )

    def submit(self, batch: Batch) -> None:
        self.writer.submit(batch, batch)

    def durable(self) -> list[Batch]:
        group = self.groups.get(timeout=10)
        for batch in group:
            self.log.installed(batch)
        return group

    def end(self) -> None:
        self.writer.close()
        while not self.groups.empty():
            self.durable()
        self.log.close()


def test_what_waits_is_written_together_and_told_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(tmp_path)
    gate = threading.Event()
    at_gate = threading.Event()
    sync = FaultyFile.sync

    def slow_sync(file: FaultyFile) -> None:
        at_gate.set()
        assert gate.wait(10)
        sync(file)

    monkeypatch.setattr(FaultyFile, "sync", slow_sync)
    batches = [node.log.prepare(HardState(i, None) if i % 3 else None, entries(i, i)) for i in range(1, 101)]
    batches.insert(50, node.log.prepare(None, ()))
    node.submit(batches[0])
    assert at_gate.wait(10)
    syncs = node.disk.syncs
    for batch in batches[1:]:
        node.submit(batch)
    assert node.writer.waiting_bytes == sum(batch.size_bytes for batch in batches)
    gate.set()
    assert node.durable() == batches[:1]
    assert node.durable() == batches[1:]
    assert node.disk.syncs == syncs + 2
    assert node.writer.waiting_bytes == 0
    node.end()
    log = opened(tmp_path)
    assert everything(log) == entries(1, 100)
    log.close()


def test_closing_writes_what_waits(tmp_path: Path) -> None:
    node = Node(tmp_path)
    for index in range(1, 50):
        node.submit(node.log.prepare(None, entries(index, index)))
    node.writer.close()
    node.end()
    log = opened(tmp_path)
    assert log.last_index() == 49
    log.close()


def test_after_an_error_nothing_more_is_written(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.submit(node.log.prepare(None, entries(1, 1)))
    assert len(node.durable()) == 1
    node.disk.fail_syncs = True
    node.submit(node.log.prepare(None, entries(2, 2)))
    assert isinstance(node.failures.get(timeout=10), DiskFailed)
    node.disk.fail_syncs = False
    node.submit(node.log.prepare(None, entries(3, 3)))
    node.writer.close()
    assert node.groups.empty()
    assert node.failures.empty()
    node.end()


def test_a_full_disk_takes_the_reserve_and_raises_the_alarm(tmp_path: Path) -> None:
    node = Node(tmp_path, reserve_bytes=300_000)
    node.disk.room_bytes = 10
    node.submit(node.log.prepare(None, entries(1, 1, size_bytes=200_000)))
    assert len(node.durable()) == 1
    assert isinstance(node.alarms.get(timeout=10), DiskFull)
    node.submit(node.log.prepare(None, entries(2, 2, size_bytes=2_000_000)))
    assert isinstance(node.failures.get(timeout=10), DiskFull)
    node.disk.room_bytes = None
    node.end()
    log = opened(tmp_path)
    assert log.last_index() == 1
    log.close()


@pytest.mark.parametrize("sizes", [[5000], [400, 600], [1, 1, 1]])
def test_the_queue_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: list[int]) -> None:
    monkeypatch.setattr(writer, "QUEUE_BYTES", 1000)
    monkeypatch.setattr(writer, "QUEUE_BATCHES", 3)
    node = Node(tmp_path)
    gate = threading.Event()
    monkeypatch.setattr(node.log, "write", lambda batches: gate.wait(10))
    batches = [node.log.prepare(None, entries(1, 1, size_bytes=size)) for size in sizes]
    for batch in batches:
        assert node.writer.has_room
        node.submit(batch)
    assert not node.writer.has_room
    with pytest.raises(Busy, match="cannot keep up"):
        node.submit(node.log.prepare(None, ()))
    gate.set()
    node.writer.close()
    assert node.writer.has_room
    assert [batch for _ in range(node.groups.qsize()) for batch in node.groups.get(timeout=10)] == batches
    node.log.close()
