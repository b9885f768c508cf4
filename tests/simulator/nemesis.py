"""What goes wrong, when and for how long: everything from one generator, everything on the trace."""

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from tests.simulator.network import Weather
from tests.simulator.server import LOG
from worker.registry.commands import OpenSession
from worker.storage.recovery import segment_path

if TYPE_CHECKING:
    from tests.simulator.server import Server
    from tests.simulator.simulation import Simulation

PAUSE_S = 1.3
"""Between one fault and the next, on average."""

HOUR_MS = 3_600_000


class Nemesis:
    """Injects faults until told to `heal`. `damaged` are the workers with a flipped bit somewhere in their log."""

    def __init__(self, sim: "Simulation", rng: Random) -> None:
        self.sim = sim
        self.rng = rng
        self.count = 0
        self.active = True
        self.damaged: set[str] = set()
        self.ambush: str | None = None
        self._healed_at = 0.0
        self._faults: list[tuple[int, Callable[[], str | None]]] = [
            (10, self._crash),
            (6, self._ambush),
            (3, self._crash_all),
            (6, self._pause),
            (6, self._isolate),
            (4, self._split),
            (4, self._cut_one_way),
            (5, self._weather),
            (4, self._slow_disk),
            (3, self._full_disk),
            (3, self._failing_disk),
            (4, self._flip),
            (3, self._clock_jump),
            (3, self._drift),
            (4, self._transfer),
            (4, self._rivals),
            (4, self._short_reigns),
            (4, self._reset),
        ]

    def begin(self) -> None:
        self.sim.at(self.rng.expovariate(1 / PAUSE_S), self._strike)

    def healed_s(self) -> float:
        """How long ago everything was healed."""
        return self.sim.now - self._healed_at

    def heal(self) -> None:
        """No more faults; links, disks and workers are as good as new, but for disks that are corrupt."""
        self.active = False
        self._healed_at = self.sim.now
        self.ambush = None
        self.sim.trace.note(self.sim.now, "*** heal")
        self.sim.network.cuts.clear()
        self.sim.network.lags.clear()
        self.sim.network.weather = Weather()
        for server in list(self.sim.servers.values()):
            self._mend(server)
            server.resume()
            if not server.up and not server.corrupt:
                server.start()

    def _mend(self, server: "Server") -> None:
        server.slowness = 1.0
        server.disk.capacity_bytes = None
        server.disk.fails = False
        server.drift(1.0)

    # --- one fault after the other

    def _strike(self) -> None:
        if not self.active:
            return
        weights = [weight for weight, _ in self._faults]
        (_, fault) = self.rng.choices(self._faults, weights)[0]
        told = fault()
        if told is not None:
            self.count += 1
            self.sim.trace.fault(self.sim.now, told)
        self.begin()

    def _victim(self) -> "Server | None":
        """A worker that is up: more often than by chance the leader."""
        leader = self.sim.leader()
        if leader is not None and self.rng.random() < 0.35:
            return leader
        servers = [server for server in self.sim.up() if not server.paused]
        return self.rng.choice(servers) if servers else None

    def _while(self, seconds: float, undo: Callable[[], None]) -> None:
        """Undo after so long, unless all has been healed by then."""

        def end() -> None:
            if self.active:
                undo()

        self.sim.at(seconds, end)

    # --- processes

    def _crash(self) -> str | None:
        victim = self._victim()
        return None if victim is None else self._fell(victim)

    def _fell(self, victim: "Server") -> str:
        power = self.rng.random() < 0.6
        victim.crash(power)
        self.restart_later(victim)
        return f"{victim.id} {'loses power' if power else 'is killed'}"

    def restart_later(self, server: "Server") -> None:
        """Its peers' systems may tell that it went; it comes back after a moment, or a good while."""
        for other in self.sim.up():
            if self.rng.random() < 0.7:
                other.peer_lost(server.id)
        dice = self.rng.random()
        longest = 0.2 if dice < 0.35 else 2.0 if dice < 0.8 else 6.0
        self.sim.at(self.rng.uniform(0.02, longest), self._restart, server)

    def _restart(self, server: "Server") -> None:
        if server.up or server.corrupt:
            return
        if self.active and self.rng.random() < 0.1:
            server.disk.dies_after = self.rng.randrange(8)
        if not server.start():
            if server.corrupt:
                self.damaged.discard(server.id)
                return
            server.disk.capacity_bytes = None
            if self.rng.random() < 0.5:
                server.disk.lose_power()
            self.sim.at(self.rng.uniform(0.1, 1.0), self._restart, server)

    def _crash_all(self) -> str | None:
        """The room loses power."""
        servers = self.sim.up()
        for server in servers:
            server.crash(power=True)
        for server in servers:
            self.restart_later(server)
        return f"power is lost: {' '.join(server.id for server in servers)}" if servers else None

    def _ambush(self) -> str | None:
        """Fell the next worker that votes, wins, or sends entries, just after it has."""
        if self.ambush is not None:
            return None
        self.ambush = self.rng.choice(("vote", "vote", "lead", "append"))
        return f"whoever does it next falls: {self.ambush}"

    def noticed(self, what: str, server: "Server") -> None:
        """A worker does something that an ambush may wait for."""
        if self.ambush == "reign" and what == "lead":
            self.ambush = None
            self._end_reign(server, self.rng.uniform(0.01, 0.1))
        elif self.ambush == what:
            self.ambush = None
            server.later(self.rng.choice((0.0, 0.0, 0.003)), self._fell_briefly, server)

    def _fell_briefly(self, server: "Server") -> None:
        self.sim.trace.fault(self.sim.now, f"{self._fell(server)}, from ambush")
        self.sim.at(self.rng.uniform(0.002, 0.02), self._restart, server)

    def _pause(self) -> str | None:
        victim = self._victim()
        if victim is None:
            return None
        seconds = self.rng.choice((0.1, 0.8, 2.0, 4.0)) * (0.5 + self.rng.random())
        victim.pause()
        self._while(seconds, victim.resume)
        return f"{victim.id} is paused for {seconds:.1f} s"

    # --- the network

    def _cut(self, links: set[tuple[str, str]], seconds: float) -> None:
        cuts = self.sim.network.cuts
        links = links - cuts
        cuts |= links
        self._while(seconds, lambda: cuts.difference_update(links))

    def _duration(self) -> float:
        return self.rng.choice((0.3, 1.5, 4.0)) * (0.5 + self.rng.random())

    def _ends(self) -> list[str]:
        return [server.id for server in self.sim.servers.values()]

    def _isolate(self) -> str | None:
        """One worker hears nobody, or is heard by nobody, or both; clients still reach it, or not."""
        victim = self._victim()
        if victim is None:
            return None
        others = [id for id in self._ends() if id != victim.id]
        if self.rng.random() < 0.3:
            others += [client.id for client in self.sim.clients]
        kind = self.rng.choice(("deaf", "mute", "cut off", "cut off"))
        links: set[tuple[str, str]] = set()
        if kind != "mute":
            links |= {(other, victim.id) for other in others}
        if kind != "deaf":
            links |= {(victim.id, other) for other in others}
        seconds = self._duration()
        self._cut(links, seconds)
        reset = self.rng.random() < 0.5
        for other in self.sim.up():
            if reset and other is not victim:
                other.peer_lost(victim.id)
        return f"{victim.id} is {kind} for {seconds:.1f} s{', connections are reset' if reset else ''}"

    def _split(self) -> str | None:
        ends = self._ends()
        side = {id for id in ends if self.rng.random() < 0.5}
        links = {(one, other) for one in ends for other in ends if (one in side) != (other in side)}
        seconds = self._duration()
        self._cut(links, seconds)
        return f"{' '.join(sorted(side))} on one side for {seconds:.1f} s" if links else None

    def _cut_one_way(self) -> str | None:
        ends = self._ends()
        one, other = self.rng.choice(ends), self.rng.choice(ends)
        if one == other:
            return None
        seconds = self._duration()
        self._cut({(one, other)}, seconds)
        return f"{one} does not reach {other} for {seconds:.1f} s"

    def _weather(self) -> str:
        choose = self.rng.choice
        weather = Weather(
            choose((0.0, 0.0, 0.02, 0.2)),
            choose((0.0, 0.02, 0.2)),
            choose((0.0002, 0.002, 0.01, 0.05)),
            choose((0.0, 0.0, 0.01, 0.1)),
        )
        self.sim.network.weather = weather
        return f"{weather}"

    def _reset(self) -> str | None:
        """A connection between two workers breaks; both live."""
        servers = self.sim.up()
        if len(servers) < 2:
            return None
        one, other = self.rng.sample(servers, 2)
        one.peer_lost(other.id)
        if self.rng.random() < 0.7:
            other.peer_lost(one.id)
        return f"connection of {one.id} and {other.id} breaks"

    # --- disks

    def _slow_disk(self) -> str | None:
        victim = self._victim()
        if victim is None:
            return None
        victim.slowness = self.rng.choice((20.0, 100.0, 1000.0))
        self._while(self._duration(), lambda: setattr(victim, "slowness", 1.0))
        return f"the disk of {victim.id} is {victim.slowness:.0f} times slower"

    def _full_disk(self) -> str | None:
        victim = self._victim()
        if victim is None:
            return None
        victim.disk.capacity_bytes = victim.disk.used_bytes() + self.rng.choice((0, 100, 5_000))
        self._while(self._duration(), lambda: setattr(victim.disk, "capacity_bytes", None))
        return f"the disk of {victim.id} is full"

    def _failing_disk(self) -> str | None:
        victim = self._victim()
        if victim is None:
            return None
        victim.disk.fails = True
        return f"the next sync of {victim.id} fails"

    def _flip(self) -> str | None:
        """A bit of a log flips at rest, where the log itself proves that the damage is no torn write."""
        voters = [id for id in self.sim.members.current() if self.sim.members.can_spare(id)]
        servers = [self.sim.servers[id] for id in voters if id not in self.damaged]
        servers = [server for server in servers if not server.corrupt and server.confirmed_end > (1, 0)]
        if not servers:
            return None
        victim = self.rng.choice(servers)
        last, end = victim.confirmed_end
        number = self.rng.choice(
            [int(name[:16], 16) for name in victim.disk.list(LOG) if name.endswith(".log")]
        )
        path = segment_path(LOG, number)
        size = end if number == last else victim.disk.size(path) if number < last else 0
        if not size:
            return None
        offset = self.rng.randrange(size)
        victim.disk.flip(path, offset, self.rng.randrange(8))
        self.damaged.add(victim.id)
        return f"a bit of {victim.id} flips, in segment {number} at {offset}"

    # --- clocks

    def _clock_jump(self) -> str | None:
        victim = self._victim()
        if victim is None:
            return None
        hours = self.rng.choice((-30, -1, 1, 5, 26))
        victim.wall_offset_ms += hours * HOUR_MS
        if victim.leads():
            # Someone new comes: that is when sessions out of use are ended.
            victim.propose(OpenSession("visitor", victim.time_ms()), b"", lambda answer: None)
        return f"the wall clock of {victim.id} jumps by {hours} h"

    def _drift(self) -> str | None:
        victim = self._victim()
        if victim is None:
            return None
        victim.drift(self.rng.choice((0.5, 0.9, 1.1, 2.0)))
        return f"the clock of {victim.id} runs {victim.rate} times as fast"

    # --- leadership

    def _transfer(self) -> str | None:
        leader = self.sim.leader()
        if leader is None:
            return None
        target = self.rng.choice(sorted(leader.core._state.configuration.voters))
        now = leader.local()
        leader.attempt(lambda core: core.transfer_leader(target, now))
        return f"{leader.id} hands over to {target}"

    def _rivals(self) -> str | None:
        """Two candidates of one term: leadership is handed to two, one of whom is heard late; a voter falls between."""
        leader = self.sim.leader()
        if leader is None:
            return None
        voters = sorted(leader.core._state.configuration.voters - {leader.id})
        if len(voters) < 2:
            return None
        one, other = self.rng.sample(voters, 2)
        lags, late = self.sim.network.lags, self.rng.uniform(0.02, 0.1)
        late_links = {(other, id): late for id in self._ends()}
        lags.update(late_links)
        self.sim.at(1.0, lambda: [lags.pop(link, None) for link in late_links])
        self.ambush = self.ambush or "vote"
        now = leader.local()
        for target in (one, other):
            leader.attempt(lambda core, to=target: core.transfer_leader(to, now))
        return f"{leader.id} hands over to {one} and to {other}, who is heard {late:.3f} s late"

    def _short_reigns(self) -> str | None:
        """Figure 8: two leaders in turn write entries that reach nobody, and fall; the first comes back first."""
        leader = self.sim.leader()
        if leader is None or self.ambush is not None:
            return None
        self.ambush = "reign"
        self._end_reign(leader, self.rng.uniform(0.1, 0.5))
        return f"{leader.id} and its successor will write what nobody hears, and fall"

    def _end_reign(self, leader: "Server", seconds: float) -> None:
        """Mute this leader, and fell it once it has written something."""
        self._cut({(leader.id, id) for id in self._ends() if id != leader.id}, seconds + 0.1)
        leader.later(seconds, self._fell_reigning, leader)

    def _fell_reigning(self, leader: "Server") -> None:
        self.sim.trace.fault(self.sim.now, f"{leader.id} falls after a short reign")
        leader.crash(power=False)
        first = self.ambush == "reign"
        for other in self.sim.up():
            other.peer_lost(leader.id)
        self.sim.at(1.0 if first else 5.0, self._restart, leader)
