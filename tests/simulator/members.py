"""The operator of the simulated cluster: adds, promotes and removes workers, and replaces those whose disk is corrupt."""

from random import Random
from typing import TYPE_CHECKING

from worker.raft import Membership

if TYPE_CHECKING:
    from tests.simulator.server import Server
    from tests.simulator.simulation import Simulation

INTERVAL_S = 1.0
SPARE_IDS = tuple("fghijkmnopqrstuv")


class Members:
    """Looks every second, through the leader's eyes, at what should change."""

    def __init__(self, sim: "Simulation", rng: Random) -> None:
        self.sim = sim
        self.rng = rng
        self.membership = sim.initial
        self.changing = rng.random() < 0.5
        self._spare = list(SPARE_IDS)

    def begin(self) -> None:
        self.sim.at(INTERVAL_S, self._look)

    def current(self) -> list[str]:
        """The members as the newest leader has told, in order."""
        return sorted(self.membership.members)

    def alive(self) -> "list[Server]":
        return [self.sim.servers[id] for id in self.current() if self.sim.servers[id].up]

    def can_spare(self, id: str) -> bool:
        """Whether the voters still have a quorum of sound disks when this one's is damaged, whoever they are.

        A change of membership may be under way: every server's view counts, also of one that is down and comes back with it.
        """
        sound = [server for server in self.sim.servers.values() if not server.corrupt]
        views = {server.core._state.configuration.voters for server in sound}
        return all(self._has_quorum(voters, id) for voters in (*views, self.membership.voters))

    def _has_quorum(self, voters: frozenset[str], without: str = "") -> bool:
        sound = [voter for voter in voters if voter != without and self.is_sound(voter)]
        return len(sound) >= len(voters) // 2 + 1

    def is_sound(self, id: str) -> bool:
        server = self.sim.servers[id]
        return not server.corrupt and id not in self.sim.nemesis.damaged

    def _look(self) -> None:
        self.sim.at(INTERVAL_S, self._look)
        leader = self.sim.leader()
        if leader is None:
            return
        state = leader.core._state
        if state.configuration.last_index <= state.log.commit:
            self.membership = state.configuration.current
            wanted = self._wanted(leader)
            if wanted is not None and self._has_quorum(wanted.voters):
                self._propose(leader, wanted)

    def _propose(self, leader: "Server", wanted: Membership) -> None:
        if leader.attempt(lambda core: core.propose_membership(wanted)):
            self.sim.trace.fault(self.sim.now, f"members {sorted(wanted.voters)} + {sorted(wanted.learners)}")
            self.sim.nemesis.count += 1

    def _wanted(self, leader: "Server") -> Membership | None:
        """The next step of one voter or learner, if any is due."""
        members = self.membership
        voters, learners = members.voters, members.learners
        dead = sorted(id for id in members.members if self.sim.servers[id].corrupt)
        ready = [id for id in sorted(learners) if self._has_caught_up(leader, id)]
        for id in dead:
            if id in learners:
                return Membership(voters, learners - {id})
        if dead and len(voters) > 2:
            return Membership(voters - {dead[0]}, learners)
        if len(voters) >= min(3, len(self.sim.initial.voters)) and (
            not self.changing or self.rng.random() < 0.7
        ):
            return None
        return self._change(members, ready)

    def _change(self, members: Membership, ready: list[str]) -> Membership | None:
        voters, learners = members.voters, members.learners
        if ready and len(voters) < 5:
            return Membership(voters | {ready[0]}, learners - {ready[0]})
        if len(voters) > 3 or (len(voters) == 3 and self.rng.random() < 0.2):
            gone = self.rng.choice(sorted(voters))
            return Membership(voters - {gone}, learners)
        return self._with_learner(members) if not learners else None

    def _with_learner(self, members: Membership) -> Membership | None:
        if not self._spare:
            return None
        id = self._spare.pop(0)
        self.sim.add_server(id).start()
        return Membership(members.voters, members.learners | {id})

    def _has_caught_up(self, leader: "Server", id: str) -> bool:
        progress = leader.core._state.progress.get(id)
        return (
            self.is_sound(id)
            and progress is not None
            and progress.match >= leader.core._state.log.commit - 20
        )
