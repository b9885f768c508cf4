"""Links that lose, delay, double and reorder what is sent, and that may be cut in one direction only."""

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from worker.raft import Message
from worker.raft.messages import Append, AppendReply, Heartbeat, HeartbeatReply, VoteReply, VoteRequest

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tests.simulator.simulation import Simulation


@dataclass(slots=True)
class Weather:
    """How messages fare at present; delays in seconds."""

    loss: float = 0.0
    doubling: float = 0.0
    delay_s: float = 0.001
    stray: float = 0.0
    """The part of messages that takes a hundred times as long, and so is overtaken."""


class Network:
    """Between workers, and between clients and workers."""

    def __init__(self, sim: "Simulation", rng: Random) -> None:
        self.sim = sim
        self.rng = rng
        self.weather = Weather()
        self.cuts: set[tuple[str, str]] = set()
        self.lags: dict[tuple[str, str], float] = {}
        """What some links take longer, in seconds."""
        self._newest: dict[tuple[str, str], float] = {}
        """When the newest message of each link arrives: a connection keeps the order, but for strays."""

    def send(self, message: Message) -> None:
        """Take a message from one worker to another."""
        self._carry(message.sender, message.to, self._deliver, (message,))

    def ask(self, client: str, server: str, call: "Callable[..., None]", *arguments: "Any") -> None:
        """Take a client's request to a worker, or a worker's answer to a client."""
        self._carry(client, server, call, arguments)

    def _carry(
        self, origin: str, target: str, call: "Callable[..., None]", arguments: "tuple[Any, ...]"
    ) -> None:
        random, weather = self.rng.random, self.weather
        if (origin, target) in self.cuts or (weather.loss and random() < weather.loss):
            return
        link = (origin, target)
        delay = weather.delay_s * (0.5 + random())
        if self.lags:
            delay += self.lags.get(link, 0.0)
        if weather.stray and random() < weather.stray:
            delay *= 100
        else:
            arrival = max(self.sim.now + delay, self._newest.get(link, 0.0) + 1e-6)
            self._newest[link] = arrival
            delay = arrival - self.sim.now
        self.sim.at(delay, self._arrive, link, call, arguments)
        if weather.doubling and random() < weather.doubling:
            self.sim.at(delay * (1 + 20 * random()), self._arrive, link, call, arguments)

    def _arrive(
        self, link: tuple[str, str], call: "Callable[..., None]", arguments: "tuple[Any, ...]"
    ) -> None:
        if link not in self.cuts:
            call(*arguments)

    def _deliver(self, message: Message) -> None:
        server = self.sim.servers[message.to]
        if server.up:
            self.sim.note(summary(message))
            server.receive(message)


def summary(message: Message) -> str:
    """A message in a few signs."""
    head = f"{message.sender}>{message.to} t{message.term} "
    match message:
        case Heartbeat():
            return f"{head}beat {message.round} c{message.commit}"
        case HeartbeatReply():
            return f"{head}beaten {message.round} {message.received}/{message.durable}"
        case Append():
            return f"{head}append {message.previous_index}@{message.previous_term}+{len(message.entries)} c{message.commit}"
        case AppendReply():
            hint = f" rejected, {message.hint_index}@{message.hint_term}" if message.rejected else ""
            return f"{head}has {message.index}{hint}"
        case VoteRequest():
            kind = "pre" if message.pre else "transfer" if message.transfer else "real"
            return f"{head}asks {kind} {message.last_index}@{message.last_term}"
        case VoteReply():
            return f"{head}{'pre-' if message.pre else ''}{'grants' if message.granted else 'denies'}"
    return f"{head}{type(message).__name__}"
