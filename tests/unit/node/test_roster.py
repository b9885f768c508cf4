"""What clients ask about the members is answered once it is so, and else with what went wrong, at once."""

from types import SimpleNamespace
from typing import Any

import pytest

from shared.errors import Busy, MinkaError, NotLeader, OutcomeUnknown, Refused
from shared.messages import Ticket
from tests.unit.node.fakes import FakeLinks, FakeLoop
from worker.raft.entries import Membership
from worker.registry import commands
from worker.registry.registry import Registry
from worker.roster import JOIN_S, LOOK_S, Roster

SESSION = 1
TICKET = Ticket(SESSION, 1, 1)
FOUNDERS = ("w1", "w2", "w3")


class FakeDriver:
    """A leader's driver. What is proposed waits until the test has it applied, or says what became of it."""

    def __init__(self, registry: Registry, voters: frozenset[str]) -> None:
        self.core = self
        self.leads = True
        self.leadership = SimpleNamespace(leader="w1")
        self.membership = Membership(voters)
        self.proposed: list[tuple[commands.Command, Any]] = []
        self._registry = registry

    def status(self) -> Any:
        return SimpleNamespace(membership=self.membership, commit_index=10, last_index=10, peers={})

    def propose(self, command: commands.Command, body: bytes, answered: Any) -> None:
        self.proposed.append((command, answered))

    def propose_membership(self, membership: Membership) -> None:
        self.membership = membership

    def apply(self) -> None:
        """The oldest proposal is committed, and takes effect."""
        command, answered = self.proposed.pop(0)
        answer = self._registry.apply(self._registry.applied_index + 1, commands.encode(command, b"")).answer
        answered(Refused(answer["failure"]["reason"]) if "failure" in answer else answer["answer"])


class Bench:
    """The roster of w1, which leads w2 and w3."""

    def __init__(self, founded: bool = True) -> None:
        self.registry, self.loop, self.links = Registry(), FakeLoop(), FakeLinks("w1")
        self._run(commands.OpenSession("test", 1))
        if founded:
            founders = tuple(commands.Founder(id, f"{id}:1", f"disk of {id}") for id in FOUNDERS)
            self._run(commands.Found(founders, 1))
        self.driver = FakeDriver(self.registry, frozenset(FOUNDERS))
        links: Any = self.links
        links.addresses = dict.fromkeys(FOUNDERS, ("host", 1))
        links.drop = links.addresses.pop
        node: Any = SimpleNamespace(
            driver=self.driver,
            registry=self.registry,
            loop=self.loop,
            links=links,
            formation=SimpleNamespace(founders=dict.fromkeys(FOUNDERS, "disk")),
            settings=SimpleNamespace(id="w1"),
            time_ms=lambda: 1,
        )
        for id in FOUNDERS[1:]:
            self.links.connect(id)
        self.roster = Roster(node)
        self.heard: list[MinkaError | None] = []

    def _run(self, command: commands.Command) -> None:
        self.registry.apply(self.registry.applied_index + 1, commands.encode(command, b""))

    def add(self, id: str = "w4") -> None:
        self.roster.add(id, f"{id}:1", self.heard.append)

    def remove(self, id: str = "w3", ticket: Ticket = TICKET) -> None:
        self.roster.remove(ticket, id, self.heard.append)

    def look(self) -> None:
        self.loop.advance(LOOK_S)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize("ask", [Bench.add, Bench.remove])
@pytest.mark.parametrize(
    "error",
    [Busy("Too much."), NotLeader("Not here."), OutcomeUnknown("It stopped leading."), Refused("No.")],
)
def test_who_asks_hears_at_once_why_it_cannot_be(bench: Bench, ask: Any, error: MinkaError) -> None:
    ask(bench)
    _, answered = bench.driver.proposed.pop()
    answered(error)
    assert bench.heard == [error]
    bench.loop.advance(2 * JOIN_S)
    assert bench.heard == [error]


def test_a_removal_is_done_when_the_worker_is_off_the_list_and_out(bench: Bench) -> None:
    bench.remove()
    bench.look()
    assert bench.heard == []
    bench.driver.apply()
    assert "w3" in bench.driver.membership.members
    assert bench.heard == []
    bench.look()
    assert "w3" not in bench.driver.membership.members
    assert bench.heard == [None]


def test_a_removal_of_one_that_is_enlisted_only_waits_for_the_command(bench: Bench) -> None:
    bench.add()
    bench.driver.apply()
    bench.remove("w4")
    bench.look()
    assert bench.heard == []
    bench.driver.apply()
    bench.look()
    assert bench.heard == [None]


def test_a_removal_that_is_asked_for_again_is_done_and_not_refused(bench: Bench) -> None:
    """The first leader died before it answered; by now nobody knows the worker."""
    bench.remove()
    bench.driver.apply()
    bench.look()
    bench.remove()
    bench.driver.apply()
    bench.look()
    assert bench.heard == [None, None]


def test_a_worker_that_is_being_removed_may_be_removed_by_others_too(bench: Bench) -> None:
    bench.remove()
    bench.driver.apply()
    bench.remove(ticket=Ticket(SESSION, 2, 1))
    bench.look()
    assert bench.heard == [None, None]


def test_a_worker_that_never_was_cannot_be_removed(bench: Bench) -> None:
    bench.remove("w9")
    bench.look()
    bench.driver.apply()
    assert [type(error) for error in bench.heard] == [Refused]


def test_nobody_goes_while_the_rest_could_not_decide_without_it(bench: Bench) -> None:
    """w2 is out of reach: without w3, w1 would wait for it, and the cluster would stand still."""
    del bench.links.peers["w2"]
    with pytest.raises(Busy, match="Without w3"):
        bench.remove("w3")
    bench.remove("w2")
    bench.driver.apply()
    bench.look()
    assert bench.heard == [None]
    assert bench.driver.membership.voters == {"w1", "w3"}


def test_a_removal_waits_when_the_rest_goes_out_of_reach_meanwhile(bench: Bench) -> None:
    bench.remove("w3")
    bench.driver.apply()
    w2 = bench.links.peers.pop("w2")
    bench.look()
    assert "w3" in bench.driver.membership.voters
    bench.links.peers["w2"] = w2
    bench.look()
    assert bench.driver.membership.voters == {"w1", "w2"}


@pytest.mark.parametrize("ask", [Bench.add, Bench.remove])
def test_nobody_comes_or_goes_before_the_founders_are_written_down(ask: Any) -> None:
    """A newcomer in an empty list would be the only member there is: the founders would be put out one by one."""
    bench = Bench(founded=False)
    with pytest.raises(Busy, match="being founded"):
        ask(bench)
    assert [type(command) for command, _ in bench.driver.proposed] == [commands.Found]
