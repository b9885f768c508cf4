"""A full disk or a used-up quota: nothing new, and an end of it when there is space again."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shared.errors import NoSpace, Refused
from tests.unit.node.fakes import FakeLoop, FakeTransfers
from worker.space import HURRY_S, LOOK_S, Space, folder_bytes
from worker.storage.blobs import MARGIN_BYTES, BlobStore
from worker.storage.disk import DiskFailed, DiskFull, OsDisk
from worker.storage.reserve import Reserve

QUOTA_BYTES = 10_000_000


class Bench:
    def __init__(self, path: Path, quota_bytes: int | None = None) -> None:
        self.loop = FakeLoop()
        self.logged: list[str] = []
        self.told: list[str] = []
        self.hurried = 0
        self.rows: list[dict[str, Any]] = []
        self.disk = OsDisk()
        self.path = path
        self.reserve = Reserve(self.disk, path, size_bytes=1000)
        self.store = BlobStore(self.disk, path / "blobs", margin_bytes=0)
        node: Any = SimpleNamespace(
            loop=self.loop,
            transfers=FakeTransfers(self.loop),
            disk=self.disk,
            store=self.store,
            settings=SimpleNamespace(id="w1", data=path, quota_bytes=quota_bytes),
            links=SimpleNamespace(known_rows=lambda: self.rows),
            voters=lambda: frozenset({"w1", "w2", "w3"}),
            snapshots=SimpleNamespace(hurry=self._hurry),
            log=self.logged.append,
            notice=lambda kind, text: self.told.append(text),
        )
        self.space = Space(node, self.reserve)

    def _hurry(self) -> None:
        self.hurried += 1


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def narrow(tmp_path: Path) -> Bench:
    return Bench(tmp_path, QUOTA_BYTES)


def test_with_space_anything_may_come(bench: Bench) -> None:
    bench.space.check()
    bench.space.check(1_000_000)


def test_on_a_full_disk_nothing_new_is_taken_until_the_reserve_is_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(OsDisk, "free_bytes", lambda *_: 0)
        bench.space.is_full(DiskFull("No space left."))
        bench.space.is_full(DiskFull("No space left."))
        with pytest.raises(NoSpace, match="disk is full"):
            bench.space.check()
        bench.loop.advance(10 * LOOK_S)
        with pytest.raises(NoSpace):
            bench.space.check()
    bench.loop.advance(LOOK_S)
    bench.space.check()
    assert bench.reserve.held
    assert len(bench.logged) == 2
    assert bench.told == ["the disk is full"]


def test_a_disk_that_fails_meanwhile_goes_on_being_full(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> bool:
        raise DiskFailed("It does not answer.")

    monkeypatch.setattr(bench.reserve, "restore", fail)
    bench.space.is_full(DiskFull("No space left."))
    bench.loop.advance(3 * LOOK_S)
    with pytest.raises(Refused):
        bench.space.check()


def test_what_a_quota_does_not_leave_is_refused(narrow: Bench) -> None:
    narrow.space.check(60_000)
    narrow.space.took(QUOTA_BYTES - 60_000)
    narrow.space.check(0)
    with pytest.raises(NoSpace, match="quota leaves"):
        narrow.space.check(60_001)
    with pytest.raises(DiskFull, match="quota"):
        narrow.store.begin("ab" * 32, 70_000)


def test_a_quota_counts_what_is_in_the_folder_and_what_has_come_since(narrow: Bench) -> None:
    (narrow.path / "log").write_bytes(bytes(3_000_000))
    narrow.store.put(bytes(2_000_000))
    assert narrow.space.quota_left_bytes == QUOTA_BYTES - 2_000_000
    narrow.loop.advance(2 * LOOK_S)
    assert narrow.space.quota_left_bytes == QUOTA_BYTES - folder_bytes(narrow.path)
    assert folder_bytes(narrow.path) == 3_000_000 + 2_000_000 + 1_000
    (narrow.path / "log").unlink()
    narrow.loop.advance(LOOK_S)
    assert narrow.space.quota_left_bytes == QUOTA_BYTES - 2_001_000


@pytest.mark.parametrize(
    ("rooms", "taken"),
    [
        ({"w2": 10, "w3": 10}, False),
        ({"w2": 10, "w3": 1_000_000}, True),
        ({"w2": 10}, True),
        ({"w2": None, "w3": 10}, True),
    ],
)
def test_a_blob_needs_room_on_a_majority(bench: Bench, rooms: dict[str, int | None], taken: bool) -> None:
    bench.rows = [{"id": id, "reachable": True, "room": room} for id, room in rooms.items()]
    if taken:
        bench.space.check(100_000)
    else:
        with pytest.raises(NoSpace, match="w2, w3"):
            bench.space.check(100_000)
    bench.space.check(10_000)  # it rides in the log


def test_a_leader_without_room_takes_no_blob(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OsDisk, "free_bytes", lambda *_: MARGIN_BYTES + 5)
    bench.loop.advance(LOOK_S)
    with pytest.raises(NoSpace, match="w1"):
        bench.space.check(100_000)


def test_while_something_is_refused_the_log_is_compacted_now_and_then(narrow: Bench) -> None:
    narrow.loop.advance(2 * HURRY_S)
    assert narrow.hurried == 0
    with pytest.raises(NoSpace):
        narrow.space.check(QUOTA_BYTES + 1)
    narrow.loop.advance(5 * HURRY_S)
    assert narrow.hurried == 1
