"""Progress of a transfer: bytes, rate, and the time left; what an earlier attempt had done does not count as speed."""

import io

import pytest

from backend.cli import progress
from backend.cli.progress import ProgressLine, TransferMeter


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_a_transfer_shows_bytes_rate_and_the_time_left(clock: Clock) -> None:
    shown = io.StringIO()
    line = ProgressLine(shown)
    meter = TransferMeter(line, "uploading a.bin")
    for done_mb in (60, 70, 80):  # it goes on where an earlier attempt stopped
        meter(done_mb * 1_000_000, 100 * 1_000_000)
        clock.now += 5.0
    meter(100 * 1_000_000, 100 * 1_000_000)
    line.end()
    first, second, third, last = shown.getvalue().splitlines()
    assert "60.0 MB of 100.0 MB" in first
    assert "left" not in first
    assert second.endswith("70.0 MB of 100.0 MB  2.0 MB/s, 15 s left")
    assert third.endswith("80.0 MB of 100.0 MB  2.0 MB/s, 10 s left")
    assert "100 %" in last
    assert "left" not in last
