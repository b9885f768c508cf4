"""A process is killed in the middle of a write; another reads what is there, promises it, and then power is lost."""

import random
from pathlib import Path

import pytest

from tests.simulator.disk import Killed, SimulatedDisk
from worker.raft.entries import Entry, EntryKind, HardState
from worker.storage import tail
from worker.storage.identity import Identity, establish, open_identity
from worker.storage.log import EntryLog

DATA = Path("data")


def opened(disk: SimulatedDisk) -> tuple[EntryLog, Identity]:
    identity = open_identity(disk, DATA, "w1", "c1")
    log = EntryLog.open(disk, DATA / "log", identity)
    return log, establish(disk, DATA, identity)


def write(log: EntryLog, index: int) -> None:
    entry = Entry(index, index, EntryKind.COMMAND, bytes(300))
    batch = log.prepare(HardState(index, f"w{index}"), [entry])
    log.write([batch])
    log.installed(batch)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("steps", range(8))
def test_what_the_restart_showed_is_still_there(
    steps: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "SEGMENT_BYTES", 2048)
    monkeypatch.setattr(tail, "AHEAD_BYTES", 1024)
    disk = SimulatedDisk(random.Random(seed))
    log, _ = opened(disk)
    write(log, 1)
    disk.dies_after = steps
    try:
        for index in range(2, 9):
            write(log, index)
    except Killed:
        disk.dies_after = None
    after_kill, identity = opened(disk)
    assert after_kill.last_index() >= log.last_index()
    shown = (after_kill.last_index(), after_kill.hard_state)
    disk.lose_power()
    after_power, same = opened(disk)
    assert same == identity
    assert (after_power.last_index(), after_power.hard_state) == shown


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("steps", range(12))
def test_an_identity_that_was_read_stays(steps: int, seed: int) -> None:
    disk = SimulatedDisk(random.Random(seed))
    disk.dies_after = steps
    try:
        opened(disk)
    except Killed:
        disk.dies_after = None
    _, identity = opened(disk)
    disk.lose_power()
    assert opened(disk)[1] == identity
