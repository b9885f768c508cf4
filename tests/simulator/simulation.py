"""One seed, one run: workers, clients, faults, and the clock that moves them all.

First faults come at random while clients work, until enough of both has happened. Then everything is healed, and within a
bound of simulated time the cluster must have answered everyone, agree to the last byte, and take a new command.
"""

import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any
from unittest.mock import patch

from tests.linearizability.files import History, Put, Remove, first_violation
from tests.simulator.client import NAMES, Call, Client
from tests.simulator.invariants import Invariants, demand
from tests.simulator.members import Members
from tests.simulator.nemesis import Nemesis
from tests.simulator.network import Network
from tests.simulator.server import Server
from tests.simulator.trace import Trace
from worker.raft import Config, Membership
from worker.storage import identity, recovery, tail

COMMANDS = 500
FAULTS = 20
FAULTY_LIMIT_S = 600.0
CONVERGENCE_S = 60.0
AHEAD_BYTES = 4096


class Failed(Exception):
    """A run broke its promise; says with which seed, and what happened last."""

    def __init__(self, seed: int, error: BaseException, trace: Trace) -> None:
        faults = "\n".join(trace.faults[-30:])
        super().__init__(
            f"seed {seed}: {type(error).__name__}: {error}\n--- faults\n{faults}\n--- last events\n{trace.tail()}\n"
            f"--- again with: dev.py simulate --seed {seed}"
        )
        self.seed = seed


@dataclass(frozen=True, slots=True)
class Result:
    """What a run was; `digest` is of its whole trace."""

    seed: int
    digest: str
    simulated_s: float
    commands: int
    operations: int
    faults: int
    events: int
    terms: int
    entries: int


class _Seeded:
    """Stands for the `secrets` module: what production code takes from it is part of the seed too."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def randbits(self, count: int) -> int:
        return self._rng.getrandbits(count)

    def token_hex(self, count: int) -> str:
        return self._rng.randbytes(count).hex()


class Simulation:
    """Everything that one run consists of."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = Random(f"simulation {seed}")
        self.now = 0.0
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0
        self._stamp = 0
        self.events = 0
        self.commands = 0
        self.trace = Trace()
        self.history = History()
        self.known_files: list[tuple[int, str, str]] = []
        self.invariants = Invariants(self)
        self.network = Network(self, Random(f"network {seed}"))
        self.log_cache_bytes = self.rng.choice((1_000, 50_000, 64 * 1024 * 1024))
        self.segment_bytes = self.rng.choice((8_192, 40_000, 200_000))
        self.compact_entries = self.rng.choice((30, 100, 1_000_000))
        self.limits = self._limits()
        size = self.rng.choice((1, 2, 3, 3, 3, 3, 4, 5, 5, 5))
        learners = frozenset("l") if self.rng.random() < 0.4 else frozenset[str]()
        self.initial = Membership(frozenset("abcde"[:size]), learners)
        self.servers: dict[str, Server] = {}
        for id in sorted(self.initial.members):
            self.add_server(id)
        self.nemesis = Nemesis(self, Random(f"nemesis {seed}"))
        self.members = Members(self, Random(f"members {seed}"))
        self.clients = [
            Client(self, f"client-{n}", Random(f"client {n} {seed}"), self.rng.choice((1, 2, 4)), 0.35)
            for n in range(4)
        ]

    def _limits(self) -> dict[str, int]:
        """Numbers so small, in many runs, that every limit is met."""
        choose = self.rng.choice
        return {
            "max_append_bytes": choose((200, 4_096, 1 << 20)),
            "max_append_entries": choose((1, 2, 64, 4_096)),
            "max_inflight_messages": choose((2, 4, 16)),
            "max_uncommitted_bytes": choose((10_000, 1 << 26)),
            "max_committed_bytes": choose((1_000, 1 << 22)),
            "max_committed_entries": choose((1, 512)),
            "cache_bytes": choose((2_000, 1 << 25)),
            "snapshot_chunk_bytes": choose((2_000, 10_000, 1 << 20)),
        }

    def add_server(self, id: str) -> Server:
        """A worker with an empty disk, not started yet."""
        self.servers[id] = Server(self, id, Config(id, **self.limits), self.initial)
        return self.servers[id]

    def note(self, line: str) -> None:
        self.trace.note(self.now, line)

    def stamp(self) -> int:
        """The next instant on the clock that clients' histories share."""
        self._stamp += 1
        return self._stamp

    def asked(self, call: Call) -> None:
        """A client begins something."""
        self.commands += call.ticket is not None
        self.note(f"asks {call.asked} {call.ticket}")

    def addresses(self) -> list[str]:
        """The workers that clients know of."""
        return self.members.current()

    def up(self) -> list[Server]:
        return [server for server in self.servers.values() if server.up]

    def leader(self) -> Server | None:
        """The leader of the newest term, if there is one that can act."""
        leaders = [server for server in self.servers.values() if server.leads() and not server.paused]
        return max(leaders, key=lambda server: server.core._state.term, default=None)

    # --- time

    def at(self, seconds: float, call: Callable[..., None], *arguments: Any) -> None:
        """Call after so many seconds of simulated time."""
        self._number += 1
        heapq.heappush(self._queue, (self.now + seconds, self._number, call, arguments))

    def _run_until(self, done: Callable[[], bool], limit_s: float) -> bool:
        """Let time pass until `done`, which is asked now and then; False if the limit came first."""
        end, queue, pop = self.now + limit_s, self._queue, heapq.heappop
        while True:
            for _ in range(100):
                self.now, _, call, arguments = pop(queue)
                self.events += 1
                call(*arguments)
            if done():
                return True
            if self.now > end:
                return False

    # --- the run

    def run(self) -> Result:
        """Raises `Failed` with the seed and the last events if anything does not hold."""
        try:
            with self._surroundings():
                self._run()
        except Exception as error:
            raise Failed(self.seed, error, self.trace) from error
        return Result(
            self.seed,
            self.trace.digest,
            self.now,
            self.commands,
            len(self.history.operations),
            self.nemesis.count,
            self.events,
            max(self.invariants.leaders, default=0),
            self.invariants.max_commit,
        )

    @contextmanager
    def _surroundings(self) -> Iterator[None]:
        """Randomness from the seed, and segments small enough to be many."""
        seeded = _Seeded(Random(f"secrets {self.seed}"))
        with (
            patch.object(recovery, "secrets", seeded),
            patch.object(identity, "secrets", seeded),
            patch.object(tail, "SEGMENT_BYTES", self.segment_bytes),
            patch.object(tail, "AHEAD_BYTES", AHEAD_BYTES),
        ):
            yield

    def _run(self) -> None:
        for server in self.servers.values():
            server.start()
        for client in self.clients:
            client.begin()
        self.nemesis.begin()
        self.members.begin()
        self._run_until(lambda: self.commands >= COMMANDS and self.nemesis.count >= FAULTS, FAULTY_LIMIT_S)
        demand(self.commands >= COMMANDS, f"only {self.commands} commands in {self.now:.0f} s: no progress")
        self._converge()
        violation = first_violation(self.history.operations)
        demand(violation is None, f"not linearizable: {violation}")

    def _converge(self) -> None:
        """Heal everything: then all must be answered, equal and alive within the bound."""
        self.nemesis.heal()
        for client in self.clients:
            client.stopped = True
        answered = self._run_until(lambda: not any(c.calls for c in self.clients), CONVERGENCE_S)
        waiting = [call for client in self.clients for call in client.calls]
        demand(
            answered,
            f"{len(waiting)} calls are not answered, {self.nemesis.healed_s()} s after: {waiting[:3]}",
        )
        last = [client.put(name) for client, name in zip(self.clients, NAMES, strict=False)]
        demand(
            self._run_until(lambda: all(call.done for call in last), CONVERGENCE_S),
            "a new command is not accepted",
        )
        demand(self._run_until(self._is_equal, CONVERGENCE_S), f"the workers differ: {self.members.alive()}")
        for server in self.members.alive():
            self.invariants.at_end(server)

    def _is_equal(self) -> bool:
        members = self.members.alive()
        states = {(s.registry.applied_index, s.registry.state_digest) for s in members}
        return len(states) == 1 and members[0].registry.applied_index == self.invariants.max_commit


def run(seed: int) -> Result:
    """Simulate one seed."""
    return Simulation(seed).run()


__all__ = ["Failed", "Put", "Remove", "Result", "Simulation", "run"]
