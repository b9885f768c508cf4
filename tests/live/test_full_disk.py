"""A full disk: what it means for who has it, and for the others; and that all is well again once there is room."""

import hashlib
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import pytest

from backend.client import ClusterClient
from backend.transfers import upload
from shared.errors import NoSpace
from shared.messages import INLINE_BYTES
from tests.linearizability.files import List, Put, Remove
from tests.live.chaos import BETWEEN, NAMES, Clients, assert_consistent
from tests.live.cluster import wait_for
from tests.live.small_disk import SmallDisks, may_be_made
from tests.live.test_serving import ask, images
from tests.live.test_training import finished, train

Start = Callable[..., Any]
NEEDS = "disks of their own need Linux, root, `unshare` and `nsenter`"
pytestmark = pytest.mark.skipif(sys.platform != "linux" or not may_be_made(), reason=NEEDS)
ALARM = re.compile(r"ALARM: .*/log/.* could not be written: No space left")
RELIEF = "there is space on the disk again"


def test_a_follower_whose_disk_is_full_holds_nobody_up(start_cluster: Start, rng: Random) -> None:
    cluster: SmallDisks = start_cluster(kind=SmallDisks)
    clients = Clients(cluster, rng)
    with clients:
        clients.go_on(BETWEEN)
        with full(clients, follower(cluster)) as since:
            clients.go_on(BETWEEN)
            assert answered(clients, since) == {Put, Remove, List}
        clients.go_on(BETWEEN)
    assert_consistent(cluster, clients.record)


def test_a_leader_whose_disk_is_full_takes_nothing_new_and_goes_on_with_the_rest(
    start_cluster: Start, rng: Random
) -> None:
    cluster: SmallDisks = start_cluster(kind=SmallDisks)
    clients = Clients(cluster, rng)
    with clients, cluster.client() as client:
        clients.go_on(BETWEEN)
        leader = cluster.leader()
        with full(clients, leader) as since:
            for body in (b"small", bytes(INLINE_BYTES + 1)):
                with pytest.raises(NoSpace, match=r"The leader's disk is full\. Remove files"):
                    upload(client, body, "new")
            clients.go_on(BETWEEN)
            assert answered(clients, since) == {Remove, List}
            assert cluster.leader() == leader
        again = time.monotonic()
        clients.go_on(BETWEEN)
        assert answered(clients, again) == {Put, Remove, List}
    assert_consistent(cluster, clients.record)


def test_predictions_go_on_while_the_leaders_disk_is_full_and_say_that_they_are_no_records(
    start_cluster: Start, rng: Random
) -> None:
    cluster: SmallDisks = start_cluster(kind=SmallDisks)
    with cluster.client() as client:
        model = finished(client, train(client, epochs=1))["id"]

        def recorded() -> dict[str, set[bool]]:
            """By the worker that answered."""
            found: dict[str, set[bool]] = {}
            for picture in images(12):
                answer = ask(client, model, picture).header
                found.setdefault(answer["worker"], set()).add(answer["recorded"])
            return found

        assert recorded() == {id: {True} for id in cluster.ids}
        with full(Clients(cluster, rng), cluster.leader()):
            assert recorded() == {id: {False} for id in cluster.ids}
        assert recorded() == {id: {True} for id in cluster.ids}


def test_a_worker_that_has_used_up_its_reserve_ends_and_comes_back_equal(
    start_cluster: Start, rng: Random
) -> None:
    cluster: SmallDisks = start_cluster(kind=SmallDisks)
    clients = Clients(cluster, rng)
    victim = follower(cluster)

    def ended() -> bool:
        cluster.fill_whole(victim)
        add_weight(clients, client)
        return cluster.processes[victim].poll() is not None

    with clients, cluster.client() as client:
        clients.go_on(BETWEEN)
        wait_for("a worker without any space ends", ended)
        cluster.kill(victim)
        assert "Traceback" not in cluster.log(victim)
        clients.go_on(BETWEEN)
        cluster.make_room(victim)
        cluster.start(victim)
        clients.go_on(BETWEEN)
    assert_consistent(cluster, clients.record)


@contextmanager
def full(clients: Clients, id: str) -> Iterator[float]:
    """From the moment in which this worker has noticed until it has its reserve back."""
    cluster = clients.cluster
    assert isinstance(cluster, SmallDisks)
    cluster.fill(id)
    with cluster.client() as client:

        def noticed() -> bool:
            add_weight(clients, client)
            return ALARM.search(cluster.log(id)) is not None

        wait_for("the alarm", noticed)
    yield time.monotonic()
    assert RELIEF not in cluster.log(id)
    cluster.make_room(id)
    wait_for("the end of the alarm", lambda: RELIEF in cluster.log(id))


def add_weight(clients: Clients, client: ClusterClient) -> None:
    """Make the log longer by as much as one entry may."""
    body = clients.rng.randbytes(INLINE_BYTES)
    asked = Put(NAMES[0], hashlib.sha256(body).hexdigest())
    clients.record.command(asked, lambda: upload(client, body, asked.name))


def answered(clients: Clients, since: float) -> set[type]:
    """What was asked after this moment, and done."""
    return {
        type(one.asked) for one in clients.record.operations if one.called > since and one.answer is not False
    }


def follower(cluster: SmallDisks) -> str:
    leader = cluster.leader()
    return next(id for id in cluster.ids if id != leader)
