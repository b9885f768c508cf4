"""A client finds the leader from any worker, and a command takes effect once, whatever dies."""

import re
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from backend.client import ClusterClient
from shared.errors import (
    AccessDenied,
    Busy,
    NoSpace,
    OutcomeUnknown,
    ProtocolViolation,
    Refused,
    TimedOut,
    Unreachable,
)
from shared.messages import FindFile, Operation, Put, Status, Ticket
from tests.unit.backend.fake_cluster import Asked, FakeCluster, HangUp, Reply

Connect = Callable[..., ClusterClient]


def put(ticket: Ticket) -> Operation:
    return Put(ticket, "note.txt", "0" * 64, 5)


def hang_up(asked: Asked) -> Reply | None:
    raise HangUp


def test_any_worker_leads_to_the_leader(cluster: FakeCluster, connect: Connect) -> None:
    cluster.leader = 2
    client = connect(0)
    assert client.status()["leader"] == "w3"
    assert client.leader == cluster.addresses[2]


def test_connections_are_used_again(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(0)
    for _ in range(20):
        client.status()
    assert cluster.workers[0]._accepted.qsize() == 1


def test_the_death_of_the_only_address_given_does_not_matter(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(0)
    client.status()
    cluster.workers[0].kill()
    cluster.leader = 1
    assert client.status()["leader"] == "w2"


def test_an_election_is_waited_out(cluster: FakeCluster, connect: Connect) -> None:
    cluster.leader = None

    def elect(asked: Asked) -> Reply | None:
        cluster.leader = 1
        return None

    client = connect(0, 1, 2)
    cluster.on("status", lambda asked: None, times=4)
    cluster.on("status", elect)
    assert client.status()["leader"] == "w2"


def test_a_hint_to_a_worker_that_is_gone_is_survived(cluster: FakeCluster, connect: Connect) -> None:
    cluster.leader = 2
    cluster.workers[2].kill()

    def elect(asked: Asked) -> Reply | None:
        cluster.leader = 1
        return None

    cluster.on("status", lambda asked: None)
    cluster.on("status", elect, times=4)
    assert connect(0, 1).status()["leader"] == "w2"


def test_a_command_takes_effect_once_when_the_leader_dies_before_it_answers(
    cluster: FakeCluster, connect: Connect
) -> None:
    def apply_and_die(asked: Asked) -> Reply | None:
        with cluster.lock:
            ticket = asked.request.ticket
            cluster.applied[(ticket.session, ticket.sequence)] = cluster._apply("put", asked)
            cluster.leader = 1
        asked.worker.kill()
        raise HangUp

    client = connect(0)
    cluster.on("put", apply_and_die)
    answer = client.command(put, b"hello")
    first, second = cluster.requests("put")
    assert first.ticket == second.ticket
    assert [row["id"] for row in cluster.files] == [answer.header["file"]["id"]]
    assert client.leader == cluster.addresses[1]


def test_each_command_has_the_next_ticket_of_one_session(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(0)
    for _ in range(3):
        client.command(put, b"hello")
    tickets = [request.ticket for request in cluster.requests("put")]
    assert [ticket.sequence for ticket in tickets] == [1, 2, 3]
    assert len({ticket.session for ticket in tickets}) == 1
    assert [ticket.waiting_from for ticket in tickets] == [1, 2, 3]


def test_commands_of_several_threads_are_each_carried_out(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(0)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: client.command(put, b"hello"), range(64)))
    assert len({answer.header["file"]["id"] for answer in answers}) == 64
    assert len(cluster.files) == 64
    assert {request.ticket.sequence for request in cluster.requests("put")} == set(range(1, 65))
    assert cluster.operations().count("session") == 1


def test_a_session_that_ended_between_two_commands_is_replaced(
    cluster: FakeCluster, connect: Connect
) -> None:
    client = connect(0)
    client.command(put, b"hello")
    cluster.sessions.clear()
    client.command(put, b"hello")
    assert len(cluster.files) == 2


def test_a_session_that_ended_after_an_answer_was_lost_is_told(
    cluster: FakeCluster, connect: Connect
) -> None:
    def lose_the_session(asked: Asked) -> Reply | None:
        cluster.sessions.clear()
        raise HangUp

    client = connect(0)
    cluster.on("put", lose_the_session)
    with pytest.raises(OutcomeUnknown, match="session"):
        client.command(put, b"hello")
    assert cluster.files == []
    client.command(put, b"hello")
    assert len(cluster.files) == 1


def test_a_command_whose_answers_are_all_lost_has_an_unknown_outcome(
    cluster: FakeCluster, connect: Connect
) -> None:
    client = connect(0, timeout_s=0.5)
    client.command(put, b"hello")
    cluster.on("put", hang_up, times=1_000)
    with pytest.raises(OutcomeUnknown, match="may or may not"):
        client.command(put, b"hello")
    assert len({request.ticket for request in cluster.requests("put")[1:]}) == 1


def test_a_refusal_for_want_of_space_after_an_answer_was_lost_is_no_promise(
    cluster: FakeCluster, connect: Connect
) -> None:
    """The leader says so before it looks at the ticket: the first try may have been carried out."""

    def apply_and_hang_up(asked: Asked) -> Reply | None:
        ticket = asked.request.ticket
        cluster.applied[(ticket.session, ticket.sequence)] = cluster._apply("put", asked)
        raise HangUp

    def full(asked: Asked) -> Reply | None:
        raise NoSpace("The leader's disk is full.", "Remove files.")

    client = connect(0)
    cluster.on("put", full)
    with pytest.raises(NoSpace):
        client.command(put, b"hello")
    cluster.on("put", apply_and_hang_up)
    cluster.on("put", full)
    with pytest.raises(OutcomeUnknown, match="disk is full"):
        client.command(put, b"hello")
    assert len(cluster.files) == 1


def test_a_refusal_that_is_the_answer_to_the_ticket_stays_one(cluster: FakeCluster, connect: Connect) -> None:
    def refuse(asked: Asked) -> Reply | None:
        raise Refused("There is no file 7.")

    cluster.on("put", hang_up)
    cluster.on("put", refuse)
    with pytest.raises(Refused, match="no file 7"):
        connect(0).command(put, b"hello")


def test_a_read_whose_answer_is_lost_is_asked_again(cluster: FakeCluster, connect: Connect) -> None:
    cluster.on("file", hang_up, times=2)
    with pytest.raises(Refused, match="No file"):
        connect(0).call(FindFile("x"))


def test_nobody_there_is_said_with_every_address(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(0, 1, timeout_s=0.4)
    for worker in cluster.workers:
        worker.kill()
    start = time.monotonic()
    with pytest.raises(Unreachable, match="No worker can be reached") as caught:
        client.status()
    assert 0.3 < time.monotonic() - start < 30.0
    for host, port in cluster.addresses[:2]:
        assert f"{host}:{port}" in caught.value.reason
    assert "minka cluster up" in caught.value.advice


def test_no_quorum_is_told_apart_from_nobody_there(cluster: FakeCluster, connect: Connect) -> None:
    cluster.leader = None
    with pytest.raises(Unreachable, match=r"No leader was found within 0.4 s"):
        connect(0, 1, 2, timeout_s=0.4).status()


def test_a_wrong_key_is_said_at_once(cluster: FakeCluster, connect: Connect) -> None:
    start = time.monotonic()
    with pytest.raises(AccessDenied):
        connect(0, 1, 2, key=bytes(32), timeout_s=60.0).status()
    assert time.monotonic() - start < 30.0


def test_something_else_on_the_port_is_said(connect: Connect, cluster: FakeCluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"220 mail.example ESMTP ready, and a few words more\r\n")
                connection.recv(4096)

        thread = threading.Thread(target=greet)
        thread.start()
        with (
            ClusterClient([listener.getsockname()[:2]], bytes(32), 3.0) as client,
            pytest.raises(ProtocolViolation, match="does not speak"),
        ):
            client.status()
        thread.join()


def test_a_leader_that_is_stopped_does_not_hold_the_client_up(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(0, timeout_s=60.0)
    client.status()
    cluster.workers[0].freeze()
    cluster.leader = 1
    start = time.monotonic()
    assert client.status()["leader"] == "w2"
    assert time.monotonic() - start < 30.0


def test_a_leader_that_stops_during_a_command_is_left_for_the_next(
    cluster: FakeCluster, connect: Connect
) -> None:
    def freeze(asked: Asked) -> Reply | None:
        asked.worker.freeze()
        cluster.leader = 2
        return None

    client = connect(0, timeout_s=6.0)
    client.status()
    cluster.on("put", freeze)
    client.command(put, b"hello")
    assert len(cluster.files) == 1
    assert len({request.ticket for request in cluster.requests("put")}) == 1


def test_an_only_worker_that_is_stopped_ends_in_a_timeout(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(0, timeout_s=0.8)
    cluster.workers[0].freeze()
    start = time.monotonic()
    with pytest.raises(Unreachable, match="did not answer in time"):
        client.status()
    assert time.monotonic() - start < 30.0


def test_a_slow_leader_that_is_alive_is_given_its_time(cluster: FakeCluster, connect: Connect) -> None:
    """The answer comes only after the client has asked another worker, and has found the leader alive."""
    checked = threading.Event()

    def answer_late(asked: Asked) -> Reply | None:
        assert checked.wait(10)
        return None

    def notice(asked: Asked) -> Reply | None:
        checked.set()
        return None

    client = connect(0, 1, timeout_s=2.0)
    client.status()
    cluster.on("file", answer_late)
    cluster.on("status", notice)
    with pytest.raises(Refused, match="No file"):
        client.call(FindFile("x"), answer_s=30.0)
    assert cluster.operations().count("file") == 1


def test_the_time_a_living_leader_took_is_not_missing_when_the_next_one_is_looked_for(
    cluster: FakeCluster, connect: Connect
) -> None:
    """It loses its leadership while it works, after longer than a search for a leader may take."""
    timeout_s = 0.4
    released, start = threading.Event(), time.monotonic()

    def hold(asked: Asked) -> Reply | None:
        released.wait(10)
        raise HangUp

    def notice(asked: Asked) -> Reply | None:
        if time.monotonic() - start > 1.5 * timeout_s:
            cluster.leader = 1
        return None

    client = connect(0, 1, timeout_s=timeout_s)
    cluster.on("file", hold)
    cluster.on("status", notice, times=100)
    with pytest.raises(Refused, match="No file"):
        client.call(FindFile("x"), answer_s=30.0)
    released.set()
    assert client.leader == cluster.addresses[1]


def test_a_leader_that_works_long_and_hangs_up_leaves_time_for_the_next(
    cluster: FakeCluster, connect: Connect
) -> None:
    """It was found alive, and works on for longer than a search may take before its connection breaks."""
    timeout_s = 0.3
    checked = threading.Event()

    def work(asked: Asked) -> Reply | None:
        assert checked.wait(10)
        threading.Event().wait(1.4 * timeout_s)
        cluster.leader = 1
        raise HangUp

    def notice(asked: Asked) -> Reply | None:
        checked.set()
        return None

    client = connect(0, 1, timeout_s=timeout_s)
    client.status()
    cluster.on("file", work)
    cluster.on("status", notice)
    with pytest.raises(Refused, match="No file"):
        client.call(FindFile("x"), answer_s=30.0)
    assert client.leader == cluster.addresses[1]


def test_who_waited_longer_than_a_search_may_take_is_told_how_long(
    cluster: FakeCluster, connect: Connect
) -> None:
    timeout_s, checked = 0.3, threading.Event()

    def work(asked: Asked) -> Reply | None:
        assert checked.wait(10)
        cluster.leader = None
        threading.Event().wait(1.4 * timeout_s)
        raise HangUp

    def notice(asked: Asked) -> Reply | None:
        checked.set()
        return None

    client = connect(0, 1, timeout_s=timeout_s)
    client.status()
    cluster.on("file", work)
    cluster.on("status", notice)
    with pytest.raises(TimedOut) as caught:
        client.call(FindFile("x"), answer_s=30.0)
    told = re.search(r"no answer from a leader within ([\d.]+) s", caught.value.reason)
    assert told is not None
    assert float(told[1]) > 2.4 * timeout_s


def test_a_cluster_at_its_limit_is_asked_again_and_then_said(cluster: FakeCluster, connect: Connect) -> None:
    def busy(asked: Asked) -> Reply | None:
        raise Busy("Too many commands wait.", "Try again later.")

    cluster.on("put", busy, times=2)
    client = connect(0, timeout_s=1.0)
    client.command(put, b"hello")
    cluster.on("put", busy, times=1_000)
    with pytest.raises(Busy, match="Too many"):
        client.command(put, b"hello")
    assert len(cluster.files) == 1


def test_a_silent_answer_to_a_read_times_out(cluster: FakeCluster, connect: Connect) -> None:
    release = threading.Event()

    def hold(asked: Asked) -> Reply | None:
        release.wait(10)
        raise HangUp

    cluster.on("file", hold, times=100)
    with pytest.raises(TimedOut, match="no answer from a leader"):
        connect(0, timeout_s=0.5).call(FindFile("x"))
    release.set()


def test_closing_ends_a_request_of_another_thread(cluster: FakeCluster, connect: Connect) -> None:
    release, reached = threading.Event(), threading.Event()

    def hold(asked: Asked) -> Reply | None:
        reached.set()
        release.wait(10)
        raise HangUp

    client = connect(0, timeout_s=30.0)
    cluster.on("file", hold)
    with ThreadPoolExecutor(1) as thread:
        pending = thread.submit(client.call, FindFile("x"))
        assert reached.wait(5)
        client.close()
        with pytest.raises(Unreachable, match="closed"):
            pending.result(5)
    release.set()


def test_a_closed_client_says_so(connect: Connect) -> None:
    client = connect(0)
    client.close()
    with pytest.raises(Unreachable, match="closed"):
        client.call(Status())
