"""Faults while clients work: every history is linearizable, nothing acknowledged is lost, and all workers come out equal."""

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from random import Random
from typing import Any

import pytest

from backend.client import ClusterClient
from shared.messages import Files
from tests.live.chaos import BETWEEN, Clients, assert_consistent
from tests.live.cluster import LiveCluster, wait_for
from tests.live.network import Network, NetworkedCluster, may_be_made

Start = Callable[..., Any]
"""Gives a cluster of the kind that is asked for."""
OFTEN = ("--compact-entries", "200")
NEWS = 20
"""Operations that the others answer without a worker that sleeps."""
ON_ITS_WAY_S = 0.1
"""For a question to reach the socket of a worker that sleeps."""

NEEDS = "network namespaces need Linux, root and `ip`"
networked = pytest.mark.skipif(sys.platform != "linux" or not may_be_made(), reason=NEEDS)


def test_killing_workers_at_any_moment_loses_and_repeats_nothing(start_cluster: Start, rng: Random) -> None:
    cluster: LiveCluster = start_cluster(options=OFTEN)
    faults = (killed(cluster, victims(cluster, rng, count)) for count in (1, 1, 2, 3))
    live_through(Clients(cluster, rng), faults, (0.0, 1.5))


def test_workers_that_stood_still_answer_nothing_stale_and_repeat_nothing(
    start_cluster: Start, rng: Random
) -> None:
    cluster: LiveCluster = start_cluster()
    clients = Clients(cluster, rng)
    faults = (stopped(clients, victims(cluster, rng, count)) for count in (1, 1, 2))
    live_through(clients, faults, (2.1, 2.6))


@networked
def test_workers_whose_cables_are_pulled_come_back_equal(start_cluster: Start, rng: Random) -> None:
    cluster: NetworkedCluster = start_cluster(kind=NetworkedCluster, options=OFTEN)
    faults = (unplugged(cluster.network, victims(cluster, rng, count)) for count in (1, 2))
    live_through(Clients(cluster, rng), faults, (2.1, 3.0))


@networked
def test_a_leader_that_only_clients_still_reach_answers_nothing_stale(
    start_cluster: Start, rng: Random
) -> None:
    """What is lost between it and the others: what both say, what the others say, what the leader says."""
    cluster: NetworkedCluster = start_cluster(kind=NetworkedCluster)

    def apart(heard: bool, hears: bool) -> AbstractContextManager[None]:
        leader = cluster.leader()
        others = [id for id in cluster.ids if id != leader]
        pairs = [(leader, other) for other in others if not heard]
        return losing(cluster.network, pairs + [(other, leader) for other in others if not hears])

    faults = (apart(*ways) for ways in ((False, False), (True, False), (False, True)))
    live_through(Clients(cluster, rng), faults, (2.1, 3.0))


class BadDisks(LiveCluster):
    """Workers whose disks can be made slow, or fail."""

    def command(self, id: str) -> list[str]:
        python, _, _, *arguments = super().command(id)
        return [python, "-m", "tests.live.bad_disk", *arguments]

    @contextmanager
    def slow(self, workers: Sequence[str], until_killed: bool) -> Iterator[None]:
        """A worker that is killed in the middle loses what waited for its disk."""
        flags = [self.directory / f"{id}.slow" for id in workers]
        for flag in flags:
            flag.touch()
        yield
        with killed(self, workers) if until_killed else nullcontext():
            for flag in flags:
                flag.unlink()

    @contextmanager
    def failed(self, id: str) -> Iterator[None]:
        """Its next sync fails: the worker ends, and starts again when the disk works again."""
        flag = self.directory / f"{id}.failing"
        flag.touch()
        code = wait_for("the worker ends", self.processes[id].poll)
        assert (code, "Traceback" in self.log(id)) == (1, False), self.log(id)
        assert "could not be made durable" in self.log(id).splitlines()[-1]
        with killed(self, [id]):
            yield
            flag.unlink()


def test_slow_disks_delay_answers_and_lose_none(start_cluster: Start, rng: Random) -> None:
    cluster: BadDisks = start_cluster(kind=BadDisks)
    rounds = ((1, False), (2, True), (3, True))
    faults = (cluster.slow(victims(cluster, rng, count), until_killed) for count, until_killed in rounds)
    live_through(Clients(cluster, rng), faults, (2.0, 3.0))


def test_a_disk_that_fails_ends_its_worker_and_loses_nothing(start_cluster: Start, rng: Random) -> None:
    cluster: BadDisks = start_cluster(kind=BadDisks)
    faults = (cluster.failed(victims(cluster, rng, 1)[0]) for _ in range(3))
    live_through(Clients(cluster, rng), faults, (0.0, 1.0))


def live_through(
    clients: Clients, faults: Iterable[AbstractContextManager[None]], seconds: tuple[float, float]
) -> None:
    """One fault after the other, each for a time between these two, while clients work: is all well at the end?

    `faults` is lazy: each chooses whom it hits when the cluster has recovered from the one before.
    """
    with clients:
        clients.go_on(BETWEEN)
        for fault in faults:
            with fault:
                threading.Event().wait(clients.rng.uniform(*seconds))
            clients.go_on(BETWEEN)
    assert_consistent(clients.cluster, clients.record)


def victims(cluster: LiveCluster, rng: Random, count: int) -> list[str]:
    """Random workers, the leader more often than by chance."""
    leader = cluster.leader()
    if rng.random() < 0.6:
        return [leader, *rng.sample([id for id in cluster.ids if id != leader], count - 1)]
    return rng.sample(cluster.ids, count)


# --- faults, each from entry to exit of its context


@contextmanager
def killed(cluster: LiveCluster, workers: Sequence[str]) -> Iterator[None]:
    for id in workers:
        cluster.kill(id)
    yield
    for id in workers:
        cluster.start(id)


@contextmanager
def stopped(clients: Clients, workers: Sequence[str]) -> Iterator[None]:
    """Each is asked for a listing while it sleeps: it wakes with the question, and with what it believed before."""
    cluster = clients.cluster

    def ask(client: ClusterClient, id: str) -> None:
        address = (cluster.host(id), cluster.ports[id])
        clients.record.listing(lambda: client.call_worker(address, Files()))

    with ExitStack() as stack, ThreadPoolExecutor(len(workers)) as threads:
        asking = [(stack.enter_context(cluster.client()), id) for id in workers]
        for client, id in asking:
            ask(client, id)  # its connection stands from now on
            cluster.pause(id)
        yield
        if len(workers) == 1:
            clients.go_on(NEWS)
        questions = [threads.submit(ask, client, id) for client, id in asking]
        wait(questions, timeout=ON_ITS_WAY_S)
        for id in workers:
            cluster.resume(id)
        for question in questions:
            question.result()


@contextmanager
def unplugged(network: Network, hosts: Sequence[str]) -> Iterator[None]:
    for host in hosts:
        network.cut(host)
    yield
    for host in hosts:
        network.mend(host)


@contextmanager
def losing(network: Network, pairs: Sequence[tuple[str, str]]) -> Iterator[None]:
    """Lose what is sent from the first to the second of each pair."""
    for source, target in pairs:
        network.mute(source, target)
    yield
    for source, target in pairs:
        network.unmute(source, target)
