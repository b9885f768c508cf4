"""What must hold after every step, judged from outside of the code that is tested.

Figure 3's properties (election safety, log matching, leader completeness, state machine safety), durability of every
promise across crashes, commitment by a quorum's disks, and each acknowledged command in effect exactly once.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from worker.raft import Entry, EntryKind, Role
from worker.registry import commands
from worker.registry.registry import Outcome
from worker.storage.disk import Corrupt

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.simulator.server import Server
    from tests.simulator.simulation import Simulation


class Broken(AssertionError):
    """A property does not hold."""


def demand(holds: bool, what: str) -> None:
    if not holds:
        raise Broken(what)


@dataclass(frozen=True, slots=True)
class Applied:
    """An entry as the first worker applied it; all others must do the same."""

    entry: tuple[int, int, bytes]
    digest: str


def _fingerprint(entry: Entry) -> tuple[int, int, bytes]:
    return entry.term, entry.kind, blake2b(entry.data, digest_size=16).digest()


class Invariants:
    """Remembers the whole run, and raises `Broken` at the first contradiction."""

    def __init__(self, sim: "Simulation") -> None:
        self.sim = sim
        self.leaders: dict[int, str] = {}
        self.votes: dict[tuple[str, int], str] = {}
        self.entries: dict[tuple[int, int], tuple[bytes, int]] = {}
        self.committed: list[int] = []
        """Terms of the committed entries, by index - 1."""
        self.committed_in: list[int] = []
        """The term in which each was committed: its own, or a later one that committed an entry behind it."""
        self.history: list[Applied] = []
        self.puts: dict[str, int] = {}
        """Digest to the index at which it took effect."""
        self.removed: dict[int, int] = {}
        """File to the index at which it was removed."""
        self.files: dict[int, str] = {}
        self.positions: dict[str, tuple[int, int, int]] = {}

    @property
    def max_commit(self) -> int:
        return len(self.committed)

    # --- after every turn

    def after_turn(self, server: "Server") -> None:
        """Check all that this server's turn can have changed."""
        state = server.core._state
        term, commit, applied = position = state.term, state.log.commit, server.registry.applied_index
        seen = self.positions.get(server.id, (0, 0, 0))
        if position != seen:
            holds = term >= seen[0] and commit >= seen[1] and seen[2] <= applied <= commit
            demand(holds, f"term, commit and applied index of {server.id} went from {seen} to {position}")
            self.positions[server.id] = position
        if state.role is Role.LEADER and self.leaders.get(term) != server.id:
            demand(
                term not in self.leaders,
                f"Election Safety: {self.leaders.get(term)} and {server.id} lead {term}",
            )
            self.leaders[term] = server.id
            self._check_completeness(server)
        if commit > len(self.committed):
            self._advance(server, commit)

    def _check_completeness(self, server: "Server") -> None:
        """A leader has what was committed in earlier terms. One may win late, when a later term has its leader already."""
        log, leads = server.core._state.log, server.core._state.term
        for index, (term, committed_in) in enumerate(
            zip(self.committed, self.committed_in, strict=True), start=1
        ):
            if committed_in > leads:
                break
            if index < log.first_index() - 1:
                continue  # in its snapshot, which `loaded` has compared
            demand(
                index <= log.last_index and log.term(index) == term,
                f"Leader Completeness: {server.id} leads without the committed entry {index} of term {term}",
            )

    def _advance(self, server: "Server", commit: int) -> None:
        """The commit index of the whole cluster rises: every entry below it must be safe from now on."""
        state = server.core._state
        voters = sorted(state.configuration.voters)
        quorum = len(voters) // 2 + 1
        servers = [self.sim.servers[voter] for voter in voters]
        for index in range(len(self.committed) + 1, commit + 1):
            term = state.log.term(index)
            assert term is not None
            blobs = self._blobs(server, index)
            holders = [
                one.id
                for one in servers
                if index <= len(one.promised_terms)
                and one.promised_terms[index - 1] == term
                and blobs <= one.blobs
            ]
            demand(
                len(holders) >= quorum,
                f"{index} of term {term} is committed by {server.id}, but durable on {holders} of {voters} only",
            )
            self.committed.append(term)
            self.committed_in.append(state.term)
        self._check_electable(servers, quorum)

    def _blobs(self, server: "Server", index: int) -> set[str]:
        log = server.core._state.log
        (entry,) = log.slice(index, index + 1, 1, 1)
        if entry.kind is not EntryKind.COMMAND:
            return set()
        return {blob.digest for blob in commands.named_blobs(entry.data)}

    def _check_electable(self, servers: "list[Server]", quorum: int) -> None:
        """Whoever lacks the newest committed entry cannot win an election (5.4.3), Figure 8's case included."""
        index, term = len(self.committed), self.committed[-1]
        logs = {
            one.id: (one.promised_terms[-1] if one.promised_terms else 0, len(one.promised_terms))
            for one in servers
        }
        for one in servers:
            if one.corrupt or (len(one.promised_terms) >= index and one.promised_terms[index - 1] == term):
                continue
            electors = [other for other, log in logs.items() if log <= logs[one.id]]
            demand(
                len(electors) < quorum,
                f"{index} of term {term} is committed, but {one.id} lacks it and {electors} may elect it",
            )

    # --- what servers do

    def entered(self, server: "Server", entries: "Iterable[Entry]") -> None:
        """Log Matching: (index, term) names one entry, and by induction all before it (5.3)."""
        previous = -1
        for entry in entries:
            if previous < 0:
                found = server.core._state.log.term(entry.index - 1)
                previous = -1 if found is None else found
            mark = blake2b(entry.data, digest_size=16).digest()
            known = self.entries.setdefault((entry.index, entry.term), (mark, previous))
            demand(known == (mark, previous), f"Log Matching: {server.id} holds another entry {entry.index}")
            previous = entry.term

    def voted(self, server: str, term: int, candidate: str) -> None:
        """One vote per server and term, over all its lives (5.2)."""
        known = self.votes.setdefault((server, term), candidate)
        demand(known == candidate, f"{server} votes for {candidate} and {known} in term {term}")

    def applied(self, server: "Server", entry: Entry, outcome: Outcome | None) -> None:
        """State Machine Safety (5.4.3): the same entry, and the same state after it, everywhere."""
        index = entry.index
        if index > len(server.promised_terms) or server.promised_terms[index - 1] != entry.term:
            raise Broken(f"{server.id} applies {index}, which is not durable there")
        here = Applied(_fingerprint(entry), server.registry.state_digest)
        if index <= len(self.history):
            if here != self.history[index - 1]:
                raise Broken(f"State Machine Safety: {server.id} differs from the others at {index}")
            return
        demand(index == len(self.history) + 1, f"{server.id} skips an entry before {index}")
        self.history.append(here)
        if outcome is not None:
            self._took_effect(index, outcome)

    def _took_effect(self, index: int, outcome: Outcome) -> None:
        for change in outcome.changes:
            assert isinstance(change.id, int)
            if change.value is not None:
                digest = change.value["digest"]
                demand(digest not in self.puts, f"{index} puts again what {self.puts.get(digest)} has put")
                self.puts[digest], self.files[change.id] = index, digest
            else:
                demand(change.id not in self.removed, f"{index} removes file {change.id} again")
                self.removed[change.id] = index

    # --- what survives a crash

    def crashed(self, server: "Server") -> None:
        """A crash takes back what was in memory only: how far it had committed and applied."""
        term, _, _ = self.positions.get(server.id, (0, 0, 0))
        self.positions[server.id] = (min(term, server.promised_hard.term), 0, 0)

    def found_damage(self, server: "Server", error: Corrupt) -> None:
        """Only what was damaged is called damaged: no crash alone makes a log corrupt."""
        self.sim.note(f"{server.id} finds damage at {error.offset}")
        demand(server.id in self.sim.nemesis.damaged, f"{server.id} takes a torn write for damage: {error}")

    def found_damaged_entry(self, server: "Server", index: int) -> None:
        """As `found_damage`, of an entry that was to be read."""
        self.sim.note(f"{server.id} finds damage in entry {index}")
        demand(
            server.id in self.sim.nemesis.damaged,
            f"{server.id} cannot read entry {index}, which nobody damaged",
        )

    def recovered(self, server: "Server") -> None:
        """What was promised is there again, after any crash; damage is never cut off silently."""
        log, promised = server.log, server.promised_terms
        hard, was = log.hard_state, server.promised_hard
        demand(
            hard.term > was.term or (hard.term == was.term and was.voted_for in (None, hard.voted_for)),
            f"{server.id} promised {was}, and came back with {hard}",
        )
        self.loaded(server)
        base = log.first_index() - 1
        terms = self.committed[:base]
        terms += [log.term(index) for index in range(base + 1, log.last_index() + 1)]
        common = min(len(terms), len(promised))
        if terms[:common] != promised[:common] or len(terms) < len(promised):
            # A write that was not yet reported may have replaced a tail, but never merely cut one off.
            parted = next((n for n in range(common) if terms[n] != promised[n]), common)
            demand(
                parted < len(terms) and parted < len(promised),
                f"{server.id} promised {len(promised)} entries, and came back with {len(terms)}",
            )
            demand(parted >= self._safe_prefix(promised), f"{server.id} came back without a committed entry")
        server.promised_terms = terms
        server.promised_hard = hard

    def loaded(self, server: "Server") -> None:
        """A snapshot stands for committed entries, and for the state that all others had after them."""
        registry, base = server.registry, server.log.first_index() - 1
        index = registry.applied_index
        demand(
            base <= index <= len(self.history), f"{server.id} stands on a snapshot at {index}, after {base}"
        )
        if index:
            same = self.history[index - 1].digest == registry.state_digest
            demand(same, f"the snapshot of {server.id} at {index} holds another state")
        if base:
            demand(
                server.log.term(base) == self.committed[base - 1], f"the log of {server.id} begins wrongly"
            )

    def _safe_prefix(self, promised: list[int]) -> int:
        """How many of the promised entries are committed."""
        count = 0
        for ours, theirs in zip(promised, self.committed, strict=False):
            if ours != theirs:
                break
            count += 1
        return count

    # --- what clients were told

    def acknowledged_put(self, digest: str, answer: dict[str, Any]) -> None:
        row = answer["file"]
        demand(
            row["digest"] == digest and self.puts.get(digest) == row["id"],
            f"a put was acknowledged as file {row['id']}, but took effect as {self.puts.get(digest)}",
        )

    def acknowledged_remove(self, file: int) -> None:
        demand(file in self.removed, f"the removal of file {file} was acknowledged, but did not take effect")

    def read(self, server: "Server", asked_at_commit: int) -> None:
        applied = server.registry.applied_index
        demand(
            applied >= asked_at_commit,
            f"{server.id} reads at {applied}, {asked_at_commit} was committed before",
        )

    def at_end(self, server: "Server") -> None:
        """Every file that was put and not removed is in the registry, and nothing else."""
        expected = {file: digest for file, digest in self.files.items() if file not in self.removed}
        found = {row.id: row.digest for row in server.registry.files.values()}
        demand(found == expected, f"{server.id} holds {len(found)} files, {len(expected)} were put and kept")
