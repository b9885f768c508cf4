"""The leader keeps the membership in step with the workers and their disks.

One change at a time, each a command or a membership entry of its own:

    member with another disk than the cluster knows  -> out: what its old disk promised is gone
    enlisted, no member, disk unknown                 -> its disk is written down
    enlisted, no member, disk known                   -> learner, and so it may begin (`worker.formation`)
    learner that holds all that is committed          -> voter
    member that is not enlisted                       -> out

`minka member add` enlists a worker, `minka member remove` takes it off the list; the rest follows.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.errors import Busy, MinkaError, Refused
from shared.messages import Ticket
from worker.raft.entries import Membership
from worker.raft.errors import RaftError
from worker.raft.ready import Status
from worker.registry import commands
from worker.registry.rows import MemberRow
from worker.settings import read_address, write_address

if TYPE_CHECKING:
    from worker.node import Node

LOOK_S = 0.1
JOIN_S = 60.0
TRANSFER_S = 5.0

Members = Callable[[MinkaError | None], None]
"""Hears once that what was asked for is so, or why not."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client waits for, up to a moment of the loop's clock."""

    fulfilled: Callable[[], bool]
    heard: Members
    until: float


class Roster:
    """Looks after the members while this worker leads."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._proposing = False
        self._seen = self._membership()
        self._seen_at = 0
        """The newest membership that was looked at, and an index of the log that is not before it."""
        self._wishes: list[Wish] = []
        self._look()

    # --- what clients ask

    def add(self, id: str, address: str, heard: Members) -> None:
        """Take in a worker that runs at `address` with an empty disk; `heard` once it is a voter."""
        try:
            text = write_address(read_address(address))
        except ValueError as error:
            raise Refused(f"{address!r} is no address.", "Give HOST:PORT.") from error
        self._check_founded()
        wish = self._wish(lambda: id in self._membership().voters and self._settled(), heard, JOIN_S)
        known = self._node.registry.members.get(id)
        if known is None or known.address != text:
            self._check_newcomer(id, text)
            self._propose(commands.Enlist(id, text, "", self._node.time_ms()), wish)
        else:  # it is on its way, or there: whoever asked before may have lost its leader meanwhile
            self._wishes.append(wish)

    def _check_founded(self) -> None:
        if not self._node.registry.members:
            raise Busy("The cluster is being founded.", "Try again in a moment.")

    def _check_newcomer(self, id: str, address: str) -> None:
        if any(row.address == address for row in self._node.registry.members.values()):
            raise Refused(f"Another worker has the address {address}.", "`minka status` lists them.")
        if id in self._membership().members:
            raise Refused(f"{id} is a member, at another address or being removed.", "Remove it first.")

    def remove(self, ticket: Ticket, id: str, heard: Members) -> None:
        """Let a worker go, the leader itself included; `heard` once the others go on without it."""
        self._check_founded()
        membership = self._membership()
        if membership.voters == {id}:
            raise Refused("The last worker cannot leave its cluster.", "Stop it instead.")
        wish = self._wish(lambda: id not in self._membership().members and self._settled(), heard, JOIN_S)
        if id in membership.members and id not in self._node.registry.members:
            self._wishes.append(wish)  # it is on its way out
        elif not self._can_decide(membership.voters - {id}):
            raise Busy(
                f"Without {id}, too few of the workers would be in reach to decide anything.",
                "Start the missing ones first, or remove those.",
            )
        else:
            self._propose(commands.Retire(ticket, id, self._node.time_ms()), wish)

    def transfer(self, id: str, heard: Members) -> None:
        """Hand leadership to `id`; `heard` once it leads."""
        if id == self._node.settings.id:
            heard(None)
            return
        try:
            self._node.driver.core.transfer_leader(id, self._node.loop.now)
        except RaftError as error:
            raise Refused(f"{id} cannot lead now: {error}.") from error
        self._wishes.append(self._wish(lambda: self._node.driver.leadership.leader == id, heard, TRANSFER_S))

    def public(self) -> dict[str, Any]:
        """The members, as clients see them."""
        node, membership = self._node, self._membership()
        members = [
            {"id": id, "address": node.address_of(id), "voter": id in membership.voters}
            for id in sorted(membership.members)
        ]
        return {"members": members, "leader": node.driver.leadership.leader}

    # --- what is so, and what should be

    def _look(self) -> None:
        self._node.loop.call_later(LOOK_S, self._look)
        if self._node.formation is not None and self._settled():
            self._let_go()
        if self._node.driver.leads and not self._proposing:
            self._mend()
        waiting, self._wishes = self._wishes, []
        for wish in waiting:
            if wish.fulfilled():
                wish.heard(None)
            elif self._node.loop.now > wish.until:
                wish.heard(
                    Busy(
                        "The change of membership takes longer than that.",
                        "`minka status` shows how it goes on.",
                    )
                )
            else:
                self._wishes.append(wish)

    def _let_go(self) -> None:
        """Forget the workers that were removed; until that was committed they were needed."""
        node, membership = self._node, self._membership()
        for id in set(node.links.addresses) - set(node.registry.members) - membership.members:
            if id == node.settings.id:
                node.log("was removed from the cluster, and may be stopped")
            node.links.drop(id)

    def _mend(self) -> None:
        """Do the one next thing that brings the membership closer to what it should be."""
        node, status = self._node, self._node.driver.core.status()
        membership, members = status.membership, node.registry.members
        if not members:
            self._found()
            return
        for id in sorted(membership.members - set(members)):
            if self._can_decide(membership.voters - {id}):
                self._change(membership.voters - {id}, membership.learners - {id})
                return
        for id in sorted(set(members) - {node.settings.id}):
            if self._mend_member(members[id], status):
                return

    def _found(self) -> None:
        """Write down the founders, once."""
        node = self._node
        assert node.formation is not None, "a worker that leads has its place"
        founders = [
            commands.Founder(id, write_address(node.links.addresses[id]), str(incarnation))
            for id, incarnation in node.formation.founders.items()
        ]
        self._propose(commands.Found(tuple(founders), node.time_ms()))

    def _mend_member(self, member: MemberRow, status: Status) -> bool:
        """Whether this member needed something."""
        id, membership = member.id, status.membership
        row = self._node.links.rows.get(id)
        if row is None or not self._node.links.reachable(id):
            return False
        known = member.incarnation == str(row.get("incarnation"))
        if id in membership.members and not known:
            # Out first: a leader remembers what a member once acknowledged, and that is gone with its disk.
            self._node.log(f"{id} came back with another disk: it begins again as a learner")
            self._change(membership.voters - {id}, membership.learners - {id})
        elif id not in membership.members and not known:
            incarnation = str(row.get("incarnation"))
            self._propose(commands.Enlist(id, member.address, incarnation, self._node.time_ms()))
        elif id not in membership.members:
            self._change(membership.voters, membership.learners | {id})
        elif id in membership.learners and status.peers[id].match_index >= status.commit_index:
            self._change(membership.voters | {id}, membership.learners - {id})
        else:
            return id in membership.learners
        return True

    def _can_decide(self, voters: frozenset[str]) -> bool:
        """Whether a majority of these is in reach: a change that they could not commit would stop the cluster."""
        own, links = self._node.settings.id, self._node.links
        return 2 * sum(id == own or links.reachable(id) for id in voters) > len(voters)

    def _settled(self) -> bool:
        """Whether the membership in force is committed."""
        status = self._node.driver.core.status()
        if status.membership != self._seen:
            self._seen, self._seen_at = status.membership, status.last_index
        return status.commit_index >= self._seen_at

    def _membership(self) -> Membership:
        return self._node.driver.core.status().membership

    def _change(self, voters: frozenset[str], learners: frozenset[str]) -> None:
        with contextlib.suppress(RaftError):  # the one before is not committed yet: the next look tries again
            self._node.driver.core.propose_membership(Membership(frozenset(voters), frozenset(learners)))

    def _propose(self, command: commands.Command, wish: Wish | None = None) -> None:
        """Put it to the cluster. The wish waits for what follows once it is applied, or hears why it cannot be."""
        self._proposing = True

        def answered(answer: dict[str, Any] | MinkaError) -> None:
            self._proposing = False
            if wish is None:
                return  # the next look finds what is to be done
            if isinstance(answer, MinkaError):
                wish.heard(answer)
            else:
                self._wishes.append(wish)

        self._node.driver.propose(command, b"", answered)

    def _wish(self, fulfilled: Callable[[], bool], heard: Members, within_s: float) -> Wish:
        return Wish(fulfilled, heard, self._node.loop.now + within_s)
