"""The newest entries of the log, kept in memory: the ones that followers and the state machine ask for."""

from worker.raft.entries import Entry

OVERHEAD_BYTES = 200
"""What an entry takes in memory beside its data, about."""


class RecentEntries:
    """A run of consecutive entries of at most `limit_bytes`; the oldest go first."""

    __slots__ = ("_entries", "_limit_bytes", "first", "last", "size_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self._entries: dict[int, Entry] = {}
        self._limit_bytes = limit_bytes
        self.first = 1
        self.last = 0
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def append(self, entry: Entry) -> None:
        """Put in the entry that is now the log's last; those at its index and after it go."""
        if entry.index != self.last + 1:
            self.cut_from(entry.index)
            if entry.index != self.last + 1:
                self.clear()
                self.first = entry.index
        self._entries[entry.index] = entry
        self.last = entry.index
        self.size_bytes += len(entry.data) + OVERHEAD_BYTES
        while self.size_bytes > self._limit_bytes:
            self._forget(self.first)
            self.first += 1

    def cut_from(self, index: int) -> None:
        for gone in range(max(index, self.first), self.last + 1):
            self._forget(gone)
        self.last = max(min(self.last, index - 1), self.first - 1)

    def forget_below(self, index: int) -> None:
        for gone in range(self.first, min(index, self.last + 1)):
            self._forget(gone)
        self.first = max(self.first, min(index, self.last + 1))

    def clear(self) -> None:
        self._entries.clear()
        self.first, self.last, self.size_bytes = 1, 0, 0

    def at(self, index: int) -> Entry | None:
        return self._entries.get(index)

    def between(self, low: int, high: int, max_bytes: int) -> list[Entry]:
        """Entries low to high - 1, all of which are here: at least one, then while their data keeps within `max_bytes`."""
        taken = [self._entries[low]]
        room = max_bytes - len(taken[0].data)
        for index in range(low + 1, high):
            entry = self._entries[index]
            room -= len(entry.data)
            if room < 0:
                break
            taken.append(entry)
        return taken

    def _forget(self, index: int) -> None:
        self.size_bytes -= len(self._entries.pop(index).data) + OVERHEAD_BYTES
