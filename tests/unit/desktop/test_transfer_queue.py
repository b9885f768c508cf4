"""The queue of transfers: order, limits, totals, and what a person can do about each."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from backend.desktop import transfer_queue
from backend.desktop.transfer_queue import Progress, TransferQueue
from shared.errors import Busy, Refused
from tests.browser.waiting import until


@pytest.fixture
def told() -> list[None]:
    return []


@pytest.fixture
def queue(told: list[None]) -> Iterator[TransferQueue]:
    made = TransferQueue(lambda: told.append(None))
    yield made
    made.close()


def done_at_once(_progress: Progress) -> dict[str, Any]:
    return {"file": 7}


def states(queue: TransferQueue) -> dict[str, int]:
    return {state: queue.summary()[state] for state in ("waiting", "running", "done", "failed", "cancelled")}


def test_a_job_runs_and_leaves_its_result(queue: TransferQueue, told: list[None]) -> None:
    row = queue.add("upload", "a.txt", 10, done_at_once)
    assert (row["name"], row["bytes"], row["state"]) == ("a.txt", 10, "waiting")
    until(lambda: states(queue)["done"] == 1)
    (row,) = queue.summary()["rows"]
    assert (row["done"], row["file"], row["error"]) == (10, 7, None)
    assert told


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (Refused("The disk is full.", "Make room."), "The disk is full."),
        (OSError(28, "No space left on device"), "a.txt: No space left on device."),
        (ValueError("odd"), "a.txt: odd"),
    ],
)
def test_a_failure_is_said_and_can_be_tried_again(
    queue: TransferQueue, failure: Exception, reason: str
) -> None:
    failures: list[Exception] = [failure]

    def job(_progress: Progress) -> dict[str, Any]:
        if failures:
            raise failures.pop()
        return {}

    id = queue.add("upload", "a.txt", 1, job)["id"]
    until(lambda: states(queue)["failed"] == 1)
    assert queue.summary()["rows"][0]["error"]["reason"] == reason
    queue.retry(id)
    until(lambda: states(queue)["done"] == 1)
    with pytest.raises(Refused):
        queue.retry(id)


class Slow:
    """A job that goes on only when it is let."""

    def __init__(self) -> None:
        self.started, self.go = threading.Event(), threading.Event()

    def __call__(self, progress: Progress) -> dict[str, Any]:
        progress(3)
        self.started.set()
        self.go.wait()
        progress(6)
        return {}


def test_what_is_cancelled_ends_at_its_next_sign_of_progress(queue: TransferQueue) -> None:
    slow = Slow()
    id = queue.add("upload", "a", 9, slow)["id"]
    slow.started.wait()
    assert queue.summary() | {"rate": 0} == queue.summary() | {
        "rate": 0,
        "bytes": 9,
        "done_bytes": 3,
        "running": 1,
    }
    queue.cancel(id)
    slow.go.set()
    until(lambda: states(queue)["cancelled"] == 1)
    assert states(queue)["running"] == 0


def test_what_waits_is_cancelled_at_once_and_few_run_together(queue: TransferQueue) -> None:
    slow = [Slow() for _ in range(transfer_queue.WORKERS + 1)]
    ids = [queue.add("upload", str(place), 1, job)["id"] for place, job in enumerate(slow)]
    for job in slow[:-1]:
        job.started.wait()
    assert states(queue)["waiting"] == 1
    queue.cancel(ids[-1])
    assert states(queue)["cancelled"] == 1
    for job in slow:
        job.go.set()
    until(lambda: states(queue)["done"] == transfer_queue.WORKERS)
    assert not slow[-1].started.is_set()


def test_the_queue_and_its_memory_have_limits(queue: TransferQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer_queue, "ENDED_KEPT", 3)
    forgotten: list[int] = []

    def forget(number: int) -> Callable[[], None]:
        return lambda: forgotten.append(number)

    for number in range(5):
        queue.add("upload", str(number), 1, done_at_once, forget(number))
        until(lambda: states(queue)["waiting"] + states(queue)["running"] == 0)
    assert [row["name"] for row in queue.summary()["rows"]] == ["4", "3", "2"]
    assert forgotten == [0, 1]
    queue.clear()
    assert sorted(forgotten) == [0, 1, 2, 3, 4]
    monkeypatch.setattr(transfer_queue, "QUEUE_LIMIT", 0)
    with pytest.raises(Busy):
        queue.add("upload", "x", 1, done_at_once)


def test_closing_ends_what_runs_and_forgets_what_waits(told: list[None]) -> None:
    queue = TransferQueue(lambda: told.append(None))
    slow = Slow()
    forgotten: list[str] = []
    queue.add("upload", "a", 1, slow, lambda: forgotten.append("a"))
    slow.started.wait()
    slow.go.set()
    queue.close()
    assert forgotten == ["a"]
    with pytest.raises(Busy):
        queue.add("upload", "x", 1, done_at_once)


def test_all_are_cancelled_and_all_that_failed_are_tried_again(queue: TransferQueue) -> None:
    slow, failures = Slow(), [Refused("not now"), Refused("not now")]

    def fails_once(_progress: Progress) -> dict[str, Any]:
        if failures:
            raise failures.pop()
        return {}

    for name in ("a", "b"):
        queue.add("upload", name, 1, fails_once)
    until(lambda: states(queue)["failed"] == 2)
    queue.again()
    until(lambda: states(queue)["done"] == 2)
    for name in ("c", "d", "e", "f", "g"):
        queue.add("upload", name, 10, slow)
    assert slow.started.wait(10)
    queue.stop()
    slow.go.set()
    until(lambda: states(queue)["cancelled"] == 5)
    assert states(queue)["running"] == states(queue)["waiting"] == 0
