"""Clients that put, remove and list files, several commands at once, and repeat each until they hear of it.

A command is repeated with the same ticket, at any worker, for as long as it takes. What clients asked and heard is recorded
for the linearizability checker.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from shared.errors import Busy, MinkaError, NotLeader, OutcomeUnknown, Refused, SessionExpired
from shared.messages import INLINE_BYTES, Ticket
from tests.linearizability.files import Asked, List, Put, Remove
from worker.registry.commands import OpenSession, PutFile, RemoveFile, digest_of

if TYPE_CHECKING:
    from tests.simulator.server import Server
    from tests.simulator.simulation import Simulation

NAMES = tuple(f"file-{letter}" for letter in "abcdefghijklmnop")
Heard = Callable[[dict[str, Any] | MinkaError], None]


@dataclass(slots=True, eq=False)
class Call:
    """One operation of a client, until it is answered; `asked` is None for the opening of a session."""

    asked: Asked | None
    called: int
    ticket: Ticket | None = None
    body: bytes = b""
    size_bytes: int = 0
    file: int = 0
    attempts: int = 0
    done: bool = False


@dataclass(slots=True)
class Client:
    """`width` operations are under way at once, each followed by another after a pause of `pause_s` on average."""

    sim: "Simulation"
    id: str
    rng: Random
    width: int
    pause_s: float
    session: int | None = None
    sequence: int = 0
    guess: str | None = None
    calls: list[Call] = field(default_factory=list)
    stopped: bool = False

    def begin(self) -> None:
        self._open_session()

    # --- what it asks

    def _open_session(self) -> None:
        self.session = None
        self._submit(Call(None, self.sim.stamp()))

    def _next(self) -> None:
        """Begin one more operation, if there is room."""
        if self.stopped or self.session is None or len(self.calls) >= self.width:
            return
        dice, sim = self.rng.random(), self.sim
        name = self.rng.choice(NAMES)
        if dice < 0.35:
            self._submit(Call(List(name), sim.stamp()))
        elif dice < 0.50 and sim.known_files:
            file, name, digest = self.rng.choice(sim.known_files)
            self._submit(Call(Remove(name, digest), sim.stamp(), self._ticket(), file=file))
        else:
            self.put(name)

    def put(self, name: str) -> Call:
        """Put a file of new contents."""
        large = self.rng.random() < 0.06
        body = f"{self.id} {self.session} {self.sequence} ".encode()
        digest = digest_of(body)
        if large:
            size_bytes, body = INLINE_BYTES + 1, b""
        else:
            body += bytes(self.rng.choice((0, 20, 200, 2000)))
            size_bytes, digest = len(body), digest_of(body)
        call = Call(Put(name, digest), self.sim.stamp(), self._ticket(), body, size_bytes)
        self._submit(call)
        return call

    def _ticket(self) -> Ticket:
        assert self.session is not None
        tickets = [call.ticket for call in self.calls if call.ticket is not None]
        waiting = [ticket.sequence for ticket in tickets if ticket.session == self.session]
        ticket = Ticket(self.session, self.sequence, min(waiting, default=self.sequence))
        self.sequence += 1
        return ticket

    def _submit(self, call: Call) -> None:
        self.sim.asked(call)
        self.calls.append(call)
        self._attempt(call)

    # --- how it asks

    def _attempt(self, call: Call) -> None:
        if call.done:
            return
        call.attempts += 1
        anywhere = isinstance(call.asked, List) and self.rng.random() < 0.5
        target = self.guess if self.guess and not anywhere else self.rng.choice(self.sim.addresses())
        self.sim.network.ask(self.id, target, self._arrive, call, target)
        self.sim.at(self.rng.uniform(0.5, 2.0), self._lose_patience, call, call.attempts)

    def _lose_patience(self, call: Call, attempt: int) -> None:
        if call.attempts == attempt:
            self.guess = None
            self._attempt(call)

    def _arrive(self, call: Call, target: str) -> None:
        """At the worker: what `worker.requests` does with a request."""
        server = self.sim.servers[target]
        if server.up:

            def heard(answer: dict[str, Any] | MinkaError) -> None:
                self.sim.network.ask(target, self.id, self._hear, call, answer)

            server.later(0.0, self._serve, server, call, heard)

    def _serve(self, server: "Server", call: Call, heard: Heard) -> None:
        asked, ticket = call.asked, call.ticket
        if isinstance(asked, List):
            self._serve_list(server, asked, heard)
        elif asked is None:
            server.propose(OpenSession(self.id, server.time_ms()), b"", heard)
        elif isinstance(asked, Put):
            assert ticket is not None
            if call.size_bytes > INLINE_BYTES and server.leads():
                self._upload(server, asked.digest)
            command = PutFile(ticket, asked.name, asked.digest, call.size_bytes, server.time_ms())
            server.propose(command, call.body, heard)
        else:
            assert ticket is not None
            server.propose(RemoveFile(ticket, call.file, server.time_ms()), b"", heard)

    def _serve_list(self, server: "Server", asked: List, heard: Heard) -> None:
        committed = self.sim.invariants.max_commit

        def readable(error: MinkaError | None) -> None:
            if error is not None:
                heard(error)
                return
            self.sim.invariants.read(server, committed)
            rows = [row.digest for row in server.registry.files.values() if row.name == asked.name]
            heard({"listed": tuple(sorted(rows))})

        server.read(readable)

    def _upload(self, server: "Server", digest: str) -> None:
        """A majority holds the bytes before the name is proposed (DESIGN 5)."""
        voters = server.core.status().membership.voters
        others = [self.sim.servers[id] for id in sorted(voters - {server.id}) if self.sim.servers[id].up]
        for one in (server, *others[: len(voters) // 2]):
            one.blobs.add(digest)

    # --- what it hears

    def _hear(self, call: Call, answer: dict[str, Any] | MinkaError) -> None:
        if call.done:
            return
        match answer:
            case NotLeader(leader=leader):
                self.guess = leader
                self.sim.at(self.rng.uniform(0.005, 0.1), self._again, call, call.attempts)
            case Busy() | OutcomeUnknown():
                self.sim.at(self.rng.uniform(0.05, 0.3), self._again, call, call.attempts)
            case SessionExpired():
                self._expired(call)
            case MinkaError():
                self._finish(call, refused=answer)
            case _:
                self._finish(call, answer=answer)

    def _again(self, call: Call, attempt: int) -> None:
        if call.attempts == attempt:
            self._attempt(call)

    def _expired(self, call: Call) -> None:
        """What became of this command can't be told any more; its session is over."""
        assert call.asked is not None
        assert call.ticket is not None
        self._end(call)
        self.sim.history.never_answered(call.called, call.asked)
        if self.session == call.ticket.session:
            self._open_session()

    def _finish(
        self, call: Call, answer: dict[str, Any] | None = None, refused: MinkaError | None = None
    ) -> None:
        self._end(call)
        returned, asked = self.sim.stamp(), call.asked
        self.sim.note(f"{self.id} hears of {asked} {'' if refused is None else refused.reason}")
        if asked is None:
            assert answer is not None
            self.session, self.sequence = answer["session"], 0
            for _ in range(self.width):
                self.sim.at(self._pause(), self._next)
            return
        if isinstance(asked, List):
            assert answer is not None
            self.sim.history.answered(call.called, returned, asked, answer["listed"])
            return
        if isinstance(asked, Put):
            assert answer is not None, f"a put was refused: {refused}"
            self.sim.invariants.acknowledged_put(asked.digest, answer)
            self.sim.known_files.append((answer["file"]["id"], asked.name, asked.digest))
        elif answer is not None:
            self.sim.invariants.acknowledged_remove(call.file)
        else:
            assert isinstance(refused, Refused)
        self.sim.history.answered(call.called, returned, asked, answer is not None)

    def _end(self, call: Call) -> None:
        call.done = True
        self.calls.remove(call)
        self.sim.at(self._pause(), self._next)

    def _pause(self) -> float:
        return self.rng.expovariate(1.0) * self.pause_s
