"""Who belongs to the cluster, by what this server's log says: an entry counts from when it is appended (6)."""

from collections.abc import Sequence

from worker.raft.entries import Entry, EntryKind, Membership
from worker.raft.storage import LogStorage

SCAN_BYTES = 1 << 20


class Configuration:
    """The memberships in the log, oldest first, so that a truncation can go back to the one before."""

    __slots__ = ("current", "history", "voters")

    def __init__(self, index: int, membership: Membership) -> None:
        self.history: list[tuple[int, Membership]] = []
        self._enter(index, membership)

    @classmethod
    def of_log(cls, storage: LogStorage, membership: Membership) -> "Configuration":
        """The configuration after all of `storage`, whose entries follow on `membership`."""
        first, end = storage.first_index(), storage.last_index() + 1
        configuration = cls(first - 1, membership)
        while first < end:
            entries = storage.entries(first, end, SCAN_BYTES)
            configuration.appended(entries)
            first = entries[-1].index + 1
        return configuration

    @property
    def last_index(self) -> int:
        """Where in the log the current membership came in."""
        return self.history[-1][0]

    def appended(self, entries: Sequence[Entry]) -> bool:
        """Whether these entries, appended in place of all that was at their indexes and after, change anything."""
        first, before = entries[0].index, self.last_index
        while self.history[-1][0] >= first:
            self.history.pop()
        changes = [entry for entry in entries if entry.kind == EntryKind.MEMBERSHIP]
        for entry in changes:
            self.history.append((entry.index, Membership.decode(entry.data)))
        self._enter(*self.history.pop())
        return bool(changes) or self.last_index != before

    def may_stand(self, id: str, commit: int) -> bool:
        """Whether `id` is a voter, or was one and its removal is not yet known to be in the log up to `commit`.

        The cluster may need its log until then, and so its leadership (dissertation 4.2.2).
        """
        pending = (membership for index, membership in self.history if index > commit)
        return id in self.at(commit).voters or any(id in membership.voters for membership in pending)

    def restore(self, index: int, membership: Membership) -> None:
        """Begin anew after a snapshot (7)."""
        self.history.clear()
        self._enter(index, membership)

    def forget_before(self, index: int) -> None:
        """Memberships older than the one in force at the applied `index` are never asked for again."""
        while len(self.history) > 1 and self.history[1][0] <= index:
            del self.history[0]

    def at(self, index: int) -> Membership:
        """The membership in force at `index`, which is not older than what `forget_before` was told."""
        found = self.history[0][1]
        for start, membership in self.history:
            if start <= index:
                found = membership
        return found

    def _enter(self, index: int, membership: Membership) -> None:
        self.history.append((index, membership))
        self.current = membership
        self.voters = membership.voters

    def quorum(self) -> int:
        """How many voters are a majority."""
        return len(self.voters) // 2 + 1
