"""A full disk: an alarm, nothing new, and an end of it when there is space again."""

from pathlib import Path
from typing import Any

import pytest

from shared.errors import Refused
from tests.unit.node.fakes import FakeLoop, FakeTransfers
from worker.space import LOOK_S, Space
from worker.storage.disk import DiskFailed, DiskFull, OsDisk
from worker.storage.reserve import Reserve


class Bench:
    def __init__(self, path: Path) -> None:
        self.loop = FakeLoop()
        self.logged: list[str] = []
        self.reserve = Reserve(OsDisk(), path, size_bytes=1000)
        loop: Any = self.loop
        transfers: Any = FakeTransfers(self.loop)
        self.space = Space(loop, transfers, self.reserve, self.logged.append)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_with_space_anything_may_come(bench: Bench) -> None:
    bench.space.check()


def test_on_a_full_disk_nothing_new_is_taken_until_the_reserve_is_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(OsDisk, "free_bytes", lambda *_: 0)
        bench.space.is_full(DiskFull("No space left."))
        bench.space.is_full(DiskFull("No space left."))
        with pytest.raises(Refused, match="disk is full"):
            bench.space.check()
        bench.loop.advance(10 * LOOK_S)
        with pytest.raises(Refused):
            bench.space.check()
    bench.loop.advance(LOOK_S)
    bench.space.check()
    assert bench.reserve.held
    assert len(bench.logged) == 2
    assert bench.loop.waiting == 0


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
