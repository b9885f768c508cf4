"""Figure 3's properties, checked after every step from outside of the core."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from worker.raft.entries import Entry
from worker.raft.ready import Role

if TYPE_CHECKING:
    from tests.raft.cluster import Server


class Invariants:
    """Remembers every leader, entry, commit and application of a run, and refuses what contradicts them."""

    def __init__(self) -> None:
        self.leaders: dict[int, str] = {}
        self.seen: dict[tuple[int, int], tuple[bytes, int]] = {}
        self.committed: dict[int, int] = {}
        self.applied: dict[int, Entry] = {}
        self.max_commit = 0
        self.positions: dict[str, tuple[int, int]] = {}
        self.promised: dict[tuple[str, int], str] = {}

    def entered(self, server: "Server", entries: Iterable[Entry]) -> None:
        """Log Matching: (index, term) names one entry, and by induction all before it (5.3)."""
        for entry in entries:
            previous = server.term(entry.index - 1)
            known = self.seen.setdefault((entry.index, entry.term), (entry.data, previous))
            assert known == (entry.data, previous), f"Log Matching: {server.id} holds another {entry}"

    def applies(self, server: "Server", entry: Entry) -> None:
        """State Machine Safety (5.4.3)."""
        known = self.applied.setdefault(entry.index, entry)
        assert known == entry, f"State Machine Safety: {server.id} applies {entry}, another applied {known}"

    def voted(self, server: str, term: int, candidate: str) -> None:
        """One vote per server and term, over all its lives (5.2)."""
        known = self.promised.setdefault((server, term), candidate)
        assert known == candidate, f"{server} votes for {candidate} and {known} in term {term}"

    def check(self, servers: Iterable["Server"]) -> None:
        """Election Safety, Leader Completeness, commits on a quorum's disks, terms and commits that never fall."""
        servers = list(servers)
        for server in servers:
            if server.raft is None:
                continue
            status = server.raft.status()
            if status.role is Role.LEADER:
                known = self.leaders.setdefault(status.term, server.id)
                assert known == server.id, f"Election Safety: {known} and {server.id} lead term {status.term}"
            term, commit = self.positions.get(server.id, (0, 0))
            assert status.term >= term, f"the term of {server.id} fell from {term} to {status.term}"
            assert status.commit_index >= commit, f"the commit index of {server.id} fell from {commit}"
            self.positions[server.id] = (status.term, status.commit_index)
            if status.commit_index > self.max_commit:
                self._advance(server, servers)
        newest = max((s for s in servers if s.is_leader()), key=lambda s: s.status().term, default=None)
        if newest is not None and newest.status().term == max(self.leaders):
            self._check_completeness(newest)

    def _advance(self, server: "Server", servers: list["Server"]) -> None:
        commit = server.status().commit_index
        for index in range(self.max_commit + 1, commit + 1):
            self.committed[index] = server.term(index)
        self.max_commit = commit
        voters = server.status().membership.voters
        holders = {s.id for s in servers if s.holds(commit, server.term(commit))} & voters
        assert len(holders) > len(voters) / 2, f"{commit} is committed but durable only on {sorted(holders)}"

    def _check_completeness(self, leader: "Server") -> None:
        """A leader of the newest term holds all that was ever committed (5.4.3)."""
        log = leader.log
        for index in range(max(log.first_index(), self.max_commit - 64), self.max_commit + 1):
            assert log.term(index) == self.committed[index], f"Leader Completeness: {leader.id} lacks {index}"

    def restarted(self, server: "Server") -> None:
        """A crash may take back the commit index, and a term in which nothing was promised; not a vote."""
        hard_state = server.disk.hard_state
        for (voter, term), candidate in self.promised.items():
            if voter == server.id:
                assert hard_state.term > term or hard_state.voted_for == candidate, (
                    f"{voter} forgot its vote of {term}"
                )
        self.positions[server.id] = (hard_state.term, 0)
