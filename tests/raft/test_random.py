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
STEPS = 800
WEIGHTS = {
    "deliver": 50,
    "propose": 12,
    "advance": 12,
    "persist": 14,
    "change_disk": 3,
    "fetch_blob": 3,
    "read": 6,
    "crash": 2,
    "restart": 5,
    "cut": 3,
    "heal": 4,
    "compact": 2,
    "change_membership": 3,
    "transfer": 2,
}
ACTIONS = (list(WEIGHTS), list(WEIGHTS.values()))


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
        max_committed_entries=3,
        cache_bytes=600,
        snapshot_chunk_bytes=200,
    )


class Faulty(Cluster):
    """A cluster where some entries come without the blob that they name."""

    def choose(self, rng: random.Random, missing: float) -> None:
        self.rng = rng
        self.missing = missing

    def is_blob_missing(self) -> bool:
        return self.rng.random() < self.missing


class Chaos:
    """One run. All choices come from one generator."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(f"chaos {seed}")
        size = self.rng.choice([1, 2, 3, 3, 3, 4, 5, 5])
        learners = ["l"] if self.rng.random() < 0.3 else []
        self.cluster = Faulty("abcde"[:size], learners, seed=seed, config=small)
        self.cluster.choose(self.rng, self.rng.choice([0.0, 0.0, 0.05]))
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
        (action,) = self.rng.choices(*ACTIONS)
        getattr(self, action)()

    def deliver(self) -> None:
        cluster, rng = self.cluster, self.rng
        for _ in range(min(len(cluster.network), rng.randint(1, 4))):
            self.deliver_one()

    def deliver_one(self) -> None:
        cluster, rng = self.cluster, self.rng
        near, far = min(len(cluster.network), 8), len(cluster.network)
        place = rng.randrange(far if rng.random() < 0.1 else near) if self.reordering else 0
        dice = rng.random()
        if dice < self.loss:
            cluster.network.pop(place)
        else:
            cluster.deliver(place, keep=dice > 1 - self.doubling)

    def persist(self) -> None:
        busy = [server for server in self.up() if server.writes]
        if busy:
            server = self.rng.choice(busy)
            server.persist(self.rng.randint(1, len(server.writes)))

    def change_disk(self) -> None:
        if self.up():
            server = self.rng.choice(self.up())
            server.slow = not server.slow
            server.persist()
            server.pump()

    def transfer(self) -> None:
        target = self.rng.choice(list(self.cluster.servers))
        self.attempt(lambda server: server.core.transfer_leader(target, self.cluster.now))

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
        leaders = [server for server in self.up() if server.is_leader()]
        servers = leaders if leaders and self.rng.random() < 0.6 else self.up()
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
        """Time passes for one server: a little, or, for a follower, up to its timeout; the others' clocks lag behind."""
        cluster, rng = self.cluster, self.rng
        followers = [server for server in self.up() if not server.is_leader()]
        if followers and rng.random() < 0.3:
            server, limit = rng.choice(followers), 10.0
        elif self.up():
            server, limit = rng.choice(self.up()), rng.random()
        else:
            return
        cluster.now = max(cluster.now, min(server.core.deadline(), cluster.now + limit))
        cluster.tick(server.id)

    def crash(self) -> None:
        if len(self.up()) <= 1:
            return
        server = self.rng.choice(self.up())
        server.crash()
        for other in self.up():
            if self.rng.random() < 0.5:
                other.core.peer_lost(server.id, self.cluster.now)

    def restart(self) -> None:
        down = [server for server in self.cluster.servers.values() if server.raft is None]
        if down:
            self.rng.choice(down).start()

    def fetch_blob(self) -> None:
        lacking = [server for server in self.up() if server.missing]
        if lacking:
            self.rng.choice(lacking).fetch_blob()

    def cut(self) -> None:
        cluster, rng = self.cluster, self.rng
        leader, others = cluster.leader(), list(cluster.servers)
        if leader is not None and rng.random() < 0.5:
            cluster.cuts |= {link for other in others for link in ((leader.id, other), (other, leader.id))}
        else:
            one, other = rng.choice(others), rng.choice(others)
            cluster.cuts |= {(one, other), (other, one)} if rng.random() < 0.7 else {(one, other)}

    def heal(self) -> None:
        self.cluster.cuts.clear()

    def compact(self) -> None:
        for server in self.up():
            applied = min(server.status().applied_index, server.disk.last_index())
            if applied > server.disk.base and self.rng.random() < 0.3:
                server.compact(self.rng.randint(server.disk.base + 1, applied))

    def change_membership(self) -> None:
        if not self.membership_changes:
            return

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
        cluster.missing = 0.0
        for server in cluster.servers.values():
            server.slow = False
            if server.raft is None:
                server.start()
            else:
                server.persist()
                server.pump()
            while server.missing:
                server.fetch_blob()
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


@pytest.mark.parametrize("first_seed", range(0, 150, RUNS_PER_TEST))
def test_invariants_hold_under_faults(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + RUNS_PER_TEST):
        try:
            Chaos(seed).run()
        except Exception as error:
            raise AssertionError(f"seed {seed} failed: {error}") from error
