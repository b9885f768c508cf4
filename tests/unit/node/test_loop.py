"""The node's loop and the way to the transfer threads: order, time, and results that come back to one thread."""

import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from shared.errors import Busy, Refused
from worker.loop import Loop
from worker.storage.disk import DiskFailed
from worker.transfers import Lane, Transfers, as_refusal


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


def run_until(loop: Loop, done: Any) -> None:
    late = loop.call_later(20, loop.stop)

    def look() -> None:
        if done():
            loop.stop()

    loop._stopping = False
    loop.run(look)
    assert late.due > loop.now, "it did not come about"
    late.cancel()


def test_timers_ring_in_order_and_cancelled_ones_do_not(loop: Loop) -> None:
    rung: list[str] = []
    loop.call_later(0.02, lambda: rung.append("second"))
    loop.call_later(0.01, lambda: rung.append("first"))
    loop.call_later(0.0, lambda: rung.append("never")).cancel()
    loop.call_later(0.03, lambda: rung.append("last"))
    run_until(loop, lambda: "last" in rung)
    assert rung == ["first", "second", "last"]


def test_calls_of_one_moment_keep_their_order(loop: Loop) -> None:
    rung: list[int] = []
    for number in range(50):
        loop.call_later(0.0, lambda number=number: rung.append(number))  # type: ignore[misc]
    run_until(loop, lambda: len(rung) == 50)
    assert rung == list(range(50))


def test_a_call_that_asks_to_be_made_again_at_once_holds_nobody_up(loop: Loop) -> None:
    rung, turns = list[int](), list[int]()

    def again() -> None:
        rung.append(len(turns))
        if len(rung) < 5:
            loop.call_later(0.0, again)

    again()
    run_until(loop, lambda: turns.append(1) or len(rung) == 5)
    assert rung == [0, 0, 1, 2, 3]


def test_a_timer_may_be_cancelled_by_another_of_its_moment(loop: Loop) -> None:
    rung: list[str] = []
    loop.call_later(0.0, lambda: second.cancel())
    second = loop.call_later(0.0, lambda: rung.append("cancelled"))
    loop.call_later(0.0, lambda: rung.append("last"))
    run_until(loop, lambda: "last" in rung)
    assert rung == ["last"]


def test_what_is_left_for_a_turns_end_comes_after_the_turn(loop: Loop) -> None:
    told: list[str] = []

    def turn() -> None:
        loop.at_turns_end(lambda: told.append("end"))
        told.append("turn")
        loop.stop()

    loop.post(lambda: None)
    loop.run(turn)
    assert told == ["turn", "end"]


def test_a_turn_may_ask_to_be_taken_again(loop: Loop) -> None:
    turns: list[float] = []

    def turn() -> float:
        turns.append(loop.now)
        if len(turns) == 3:
            loop.stop()
        return loop.now + 0.01

    loop.post(lambda: None)
    loop.run(turn)
    assert turns[2] >= turns[0] + 0.02


def test_a_turn_that_takes_too_long_is_told(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.loop.HELD_UP_S", 0.01)
    told: list[str] = []
    loop.held_up = told.append
    loop.post(lambda: threading.Event().wait(0.05))  # type: ignore[arg-type,return-value]
    loop.call_later(0.1, loop.stop)
    loop.run(lambda: None)
    assert any(why.startswith("one turn of the node thread took ") for why in told)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot stop a process with a signal")
def test_a_system_that_does_not_let_the_worker_run_is_told() -> None:
    """The process is stopped while its loop sleeps for a moment, or is about to."""
    program = (
        "from worker.loop import Loop\n"
        "loop = Loop()\n"
        "loop.held_up = lambda why: (print(why, flush=True), loop.stop())\n"
        "turn = lambda: print('turn', flush=True) or loop.now + 0.05\n"
        "loop.post(lambda: None)\n"
        "loop.run(turn)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "turn\n"
        process.send_signal(signal.SIGSTOP)
        threading.Event().wait(1.0)
        process.send_signal(signal.SIGCONT)
        told = [line for line in process.stdout if line != "turn\n"]
    assert told
    why = "the system did not let this worker run for|one turn of the node thread took"
    assert re.fullmatch(rf"({why}) \d+\.\d s\n", told[0])


def test_other_threads_have_one_door(loop: Loop) -> None:
    told: list[int] = []
    threads = [
        threading.Thread(target=lambda: [loop.post(lambda: told.append(1)) for _ in range(500)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    run_until(loop, lambda: len(told) == 2000)
    for thread in threads:
        thread.join()


def test_after_the_end_a_post_harms_nobody() -> None:
    loop = Loop()
    loop.close()
    loop.post(lambda: None)


def test_a_socket_is_watched_until_it_is_forgotten(loop: Loop) -> None:
    ours, theirs = socket.socketpair()
    seen: list[bytes] = []
    loop.watch(ours, 1, lambda events: seen.append(ours.recv(10)))
    theirs.send(b"one")
    run_until(loop, lambda: seen)
    loop.forget(ours)
    loop.forget(ours)
    theirs.send(b"two")
    loop.call_later(0.01, loop.stop)
    loop._stopping = False
    loop.run(lambda: None)
    assert seen == [b"one"]
    ours.close()
    loop.forget(ours)
    theirs.close()


def test_work_runs_elsewhere_and_its_result_comes_back_here(loop: Loop) -> None:
    transfers = Transfers(loop)
    heard: list[Any] = []
    here = threading.get_ident()

    def finished(result: Any, error: BaseException | None) -> None:
        heard.append((result, type(error), threading.get_ident() == here))

    def fail() -> None:
        raise ValueError("no")

    transfers.run(lambda: threading.get_ident() != here, finished)
    run_until(loop, lambda: len(heard) == 1)
    transfers.run(fail, finished)
    run_until(loop, lambda: len(heard) == 2)
    transfers.close()
    assert heard == [(True, type(None), True), (None, ValueError, True)]


def test_a_disk_that_fails_is_a_reason_to_ask_again() -> None:
    told = as_refusal(DiskFailed("blobs/x could not be made durable: Input/output error."))
    assert isinstance(told, Busy)
    assert "could not be made durable" in told.reason


def test_a_lane_keeps_the_order_even_when_work_fails(loop: Loop) -> None:
    transfers = Transfers(loop)
    lane, heard, done = Lane(transfers), list[int](), list[Any]()

    def work(number: int) -> None:
        heard.append(number)
        if number % 7 == 0:
            raise OSError(5, "no")

    for number in range(60):
        lane.run(lambda number=number: work(number), lambda result, error: done.append(error))  # type: ignore[misc]
    assert lane.waiting == 59
    run_until(loop, lambda: len(done) == 60)
    transfers.close()
    assert heard == list(range(60))
    assert lane.idle


def test_what_fails_in_a_thread_is_told_unless_it_is_our_fault() -> None:
    busy = Busy("Later.")
    assert as_refusal(busy) is busy
    assert isinstance(as_refusal(OSError(5, "Input/output error")), Refused)
    with pytest.raises(KeyError):
        as_refusal(KeyError("x"))
