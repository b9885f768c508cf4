"""Seeded random runs of the core: drops, doubles, reordering, cut links, crashes that lose unwritten data, slow disks.

Each run ends with a healed network, and must then converge: one leader, equal logs, nothing acknowledged lost. The
invariants are checked after every step; a failure names its seed.
"""

import random
from collections.abc import Callable

import pytest

from tests.raft.cluster import Cluster, Server
from worker.raft import Busy, Config, Membership, NotLeader, Refused

RUNS_PER_TEST = 25
STEPS = 700


def small(id: str) -> Config:
    """Limits so small that every run meets them."""
    return Config(
        id,
        max_append_bytes=16,
        max_append_entries=4,
        max_inflight_messages=3,
        max_inflight_bytes=48,
        max_uncommitted_bytes=128,
        max_committed_bytes=24,
        cache_bytes=600,
        snapshot_chunk_bytes=200,
    )


class Chaos:
    """One run. All choices come from one generator."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(f"chaos {seed}")
        size = self.rng.choice([1, 2, 3, 3, 3, 4, 5, 5])
        learners = ["l"] if self.rng.random() < 0.3 else []
        self.cluster = Cluster("abcde"[:size], learners, seed=seed, config=small)
        self.cluster.start()
        self.proposed = 0
        self.reads = 0
        self.asked: dict[tuple[str, object], int] = {}
        self.loss = self.rng.choice([0.0, 0.02, 0.2])
        self.doubling = self.rng.choice([0.0, 0.02, 0.2])
        self.reordering = self.rng.random() < 0.5
        self.membership_changes = self.rng.random() < 0.5

    def run(self) -> None:
        for _ in range(STEPS):
            self.step()
            self.cluster.check()
            self.check_reads()
        self.converge()

    def up(self) -> list[Server]:
        return [server for server in self.cluster.servers.values() if server.raft is not None]

    def step(self) -> None:
        cluster, rng = self.cluster, self.rng
        dice = rng.random()
        if dice < 0.62 and cluster.network:
            self.deliver()
        elif dice < 0.72:
            self.propose()
        elif dice < 0.78 and self.up():
            self.advance()
        elif dice < 0.86 and self.up():
            server = rng.choice(self.up())
            if server.writes:
                server.persist(rng.randint(1, len(server.writes)))
        elif dice < 0.88 and self.up():
            server = rng.choice(self.up())
            server.slow = not server.slow
            server.persist()
            server.pump()
        elif dice < 0.92:
            self.read()
        elif dice < 0.94:
            self.crash_or_restart()
        elif dice < 0.96:
            self.cut_or_heal()
        elif dice < 0.975:
            self.compact()
        elif dice < 0.985 and self.membership_changes:
            self.change_membership()
        elif dice < 0.995 and self.up():
            target = rng.choice(list(cluster.servers))
            self.attempt(lambda server: server.core.transfer_leader(target, cluster.now))

    def deliver(self) -> None:
        cluster, rng = self.cluster, self.rng
        place = rng.randrange(min(len(cluster.network), 12)) if self.reordering else 0
        dice = rng.random()
        if dice < self.loss:
            cluster.network.pop(place)
        else:
            cluster.deliver(place, keep=dice > 1 - self.doubling)

    def attempt(self, call: Callable[[Server], object]) -> None:
        leader = self.cluster.leader()
        server = (
            leader if leader is not None and self.rng.random() < 0.8 else self.rng.choice(self.up() or [None])
        )
        if server is None:
            return
        try:
            call(server)
        except (NotLeader, Busy, Refused):
            return
        server.pump()

    def propose(self) -> None:
        def call(server: Server) -> None:
            data = [f"{self.proposed + n}".encode() for n in range(self.rng.randint(1, 6))]
            server.core.propose(data)
            self.proposed += len(data)

        self.attempt(call)

    def read(self) -> None:
        servers = self.up()
        if not servers:
            return
        server = self.rng.choice(servers)
        self.reads += 1
        context = f"read {self.reads}"
        try:
            server.core.read_index(context)
        except (NotLeader, Busy):
            return
        self.asked[server.id, context] = self.cluster.invariants.max_commit
        server.pump()

    def check_reads(self) -> None:
        for server in self.up():
            for context, index in server.reads:
                least = self.asked.pop((server.id, context))
                assert index >= least, (
                    f"{context} at {server.id} got {index}, {least} was committed before it began"
                )
            server.reads.clear()

    def advance(self) -> None:
        cluster = self.cluster
        server = self.rng.choice(self.up())
        cluster.now = max(cluster.now, min(server.core.deadline(), cluster.now + self.rng.random()))
        cluster.tick(server.id)

    def crash_or_restart(self) -> None:
        server = self.rng.choice(list(self.cluster.servers.values()))
        if server.raft is None:
            server.start()
            return
        server.crash()
        for other in self.up():
            if self.rng.random() < 0.5:
                other.core.peer_lost(server.id, self.cluster.now)

    def cut_or_heal(self) -> None:
        cluster, rng = self.cluster, self.rng
        if cluster.cuts and rng.random() < 0.6:
            cluster.cuts.clear()
            return
        one, other = rng.choice(list(cluster.servers)), rng.choice(list(cluster.servers))
        cluster.cuts.add((one, other))
        if rng.random() < 0.7:
            cluster.cuts.add((other, one))

    def compact(self) -> None:
        for server in self.up():
            applied = min(server.status().applied_index, server.disk.last_index())
            if applied > server.disk.base and self.rng.random() < 0.3:
                server.compact(self.rng.randint(server.disk.base + 1, applied))

    def change_membership(self) -> None:
        def call(server: Server) -> None:
            members = server.status().membership
            id = self.rng.choice("abcdefl")
            if id in members.voters:
                voters, learners = members.voters - {id}, members.learners
            elif id in members.learners:
                voters, learners = members.voters | {id}, members.learners - {id}
            else:
                voters, learners = members.voters, members.learners | {id}
            server.core.propose_membership(Membership(voters, learners))
            if id not in self.cluster.servers:
                self.cluster.add(id).start()

        self.attempt(call)

    def converge(self) -> None:
        """Heal everything; within a bounded time the cluster must serve again, all members alike."""
        cluster = self.cluster
        cluster.cuts.clear()
        for server in cluster.servers.values():
            server.slow = False
            if server.raft is None:
                server.start()
            else:
                server.persist()
                server.pump()
        for _ in range(40):
            cluster.elapse(1.0)
            leader = cluster.leader()
            if leader is None:
                continue
            try:
                indexes = leader.core.propose([b"last"])
            except (Busy, NotLeader):
                continue
            leader.pump()
            cluster.elapse(1.0)
            members = [cluster[id] for id in leader.status().membership.members]
            if all(member.status().applied_index >= indexes[0] for member in members):
                self.check_reads()
                return
        raise AssertionError(f"no convergence: {[server.raft for server in cluster.servers.values()]}")


@pytest.mark.parametrize("first_seed", range(0, 250, RUNS_PER_TEST))
def test_invariants_hold_under_faults(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + RUNS_PER_TEST):
        try:
            Chaos(seed).run()
        except Exception as error:
            raise AssertionError(f"seed {seed} failed: {error}") from error
