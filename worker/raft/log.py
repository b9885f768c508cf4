"""The log as one server sees it: durable entries in storage, newer ones in memory (5.3).

     storage                     tail (in memory)
    ┌───────────────────────────┬──────────────────────────────────────┐
    │ first_index ...  offset-1 │ offset ... handed │ handed+1 ... last │
    └───────────────────────────┴──────────────────────────────────────┘
           applied <= applying <= min(commit, durable)     durable <= handed

`handed` is what a Ready has given to the log writer, `durable` what it has reported back. The tail also keeps durable
entries, as a cache for followers. After a truncation the tail begins at or below the cut, so that what storage still
shows there is never read.
"""

from collections import deque
from collections.abc import Sequence

from worker.raft.entries import Entry
from worker.raft.storage import LogStorage

ENTRY_OVERHEAD_BYTES = 64


class Log:
    """Positions in the log and the entries behind them. Knows nothing of roles, terms of office, or peers."""

    __slots__ = (
        "applied",
        "applying",
        "cache_bytes",
        "commit",
        "durable",
        "handed",
        "last_index",
        "offset",
        "storage",
        "tail",
        "tail_bytes",
        "writes",
    )

    def __init__(
        self, storage: LogStorage, stable_index: int | None, applied_index: int | None, cache_bytes: int
    ) -> None:
        self.storage = storage
        self.cache_bytes = cache_bytes
        first, last = storage.first_index(), storage.last_index()
        self.offset = last + 1
        self.tail: list[Entry] = []
        self.tail_bytes = 0
        self.last_index = self.handed = last
        self.durable = last if stable_index is None else stable_index
        self.commit = self.applying = self.applied = first - 1 if applied_index is None else applied_index
        # For each hand-over of entries still at the writer: its first index that is still valid, and its number.
        self.writes: deque[tuple[int, int]] = deque()
        if not first - 1 <= self.durable <= last:
            raise ValueError(f"stable_index {self.durable} is outside the log {first}..{last}")
        if not first - 1 <= self.applied <= self.durable:
            raise ValueError(
                f"applied_index {self.applied} is outside the stable log {first}..{self.durable}"
            )

    def __repr__(self) -> str:
        return (
            f"Log(last={self.last_index} handed={self.handed} durable={self.durable} "
            f"commit={self.commit} applied={self.applied})"
        )

    def first_index(self) -> int:
        """The first entry that can still be read."""
        return self.storage.first_index()

    def term(self, index: int) -> int | None:
        """The term at `index`; None if it is compacted away, or not there yet."""
        if index >= self.offset:
            return self.tail[index - self.offset].term if index <= self.last_index else None
        return self.storage.term(index) if index >= self.storage.first_index() - 1 else None

    def last_term(self) -> int:
        """The term of the last entry; 0 for an empty log."""
        term = self.term(self.last_index)
        assert term is not None, "the last entry is always there"
        return term

    def last_not_above(self, index: int, term: int) -> int:
        """The last index, at or before `index`, whose term is at most `term`; ``first_index() - 1`` if none is left.

        Terms never fall along a log, so halving finds it.
        """
        low, high = min(index, self.first_index() - 1), index
        while low < high:
            middle = (low + high + 1) // 2
            found = self.term(middle)
            if found is None or found <= term:
                low = middle
            else:
                high = middle - 1
        return low

    def slice(self, low: int, high: int, max_bytes: int, max_entries: int) -> list[Entry]:
        """Entries from `low` to below `high`, at least one, as far as the limits and one source allow."""
        high = min(high, low + max_entries)
        if low >= high:
            return []
        if low < self.offset:
            return self.storage.entries(low, min(high, self.offset), max_bytes)
        found = self.tail[low - self.offset : high - self.offset]
        if self.tail_bytes <= max_bytes:
            return found
        total = 0
        for count, entry in enumerate(found):
            total += len(entry.data)
            if total > max_bytes and count:
                return found[:count]
        return found

    def append(self, entries: Sequence[Entry]) -> None:
        """Add `entries` where their first index says; what was there and after is cut off (5.3).

        Whoever calls has checked that nothing committed is cut.
        """
        first = entries[0].index
        if first <= self.last_index:
            self._truncate(first)
        self.tail.extend(entries)
        self.last_index = entries[-1].index
        self.tail_bytes += _size(entries)

    def _truncate(self, first: int) -> None:
        assert first > self.commit, "a committed entry is never cut off"
        if first <= self.offset:
            self.tail.clear()
            self.tail_bytes = 0
            self.offset = first
        else:
            self.tail_bytes -= _size(self.tail[first - self.offset :])
            del self.tail[first - self.offset :]
        self.last_index = first - 1
        self.handed = min(self.handed, first - 1)
        self.durable = min(self.durable, first - 1)
        while self.writes and self.writes[-1][0] >= first:
            self.writes.pop()

    def hand_over(self, number: int) -> tuple[Entry, ...]:
        """Everything that the writer has not got yet, now given to it in the Ready of this `number`."""
        if self.handed == self.last_index:
            return ()
        entries = tuple(self.tail[self.handed + 1 - self.offset :])
        self.writes.append((self.handed + 1, number))
        self.handed = self.last_index
        return entries

    def persisted(self, index: int, term: int, number: int) -> bool:
        """Whether `durable` moved: entries up to (`index`, `term`), written in Readys up to `number`, are durable.

        A report that names an entry which has been cut off since, or written again by a later Ready that is not yet
        done, is stale and ignored: the report of that later Ready follows (the disk may still be about to cut).
        """
        limit = self.handed
        for first, written_by in self.writes:
            if written_by > number:
                limit = first - 1
                break
        if not self.durable < index <= limit or self.term(index) != term:
            return False
        self.durable = index
        while len(self.writes) > 1 and self.writes[1][0] <= index + 1:
            self.writes.popleft()
        if self.writes and self.handed == index:
            self.writes.clear()
        self._maybe_shrink()
        return True

    def commit_to(self, index: int) -> bool:
        """Whether `commit` rose to `index`; it never falls."""
        if index <= self.commit:
            return False
        assert index <= self.last_index, "only what is there can be committed"
        self.commit = index
        return True

    def hand_committed(self, max_bytes: int, max_entries: int) -> tuple[Entry, ...]:
        """The next committed and durable entries, once all that was handed out before has been applied.

        One that cannot be read ends this server (`Unreadable`): nobody else may have it any more, but for a snapshot.
        """
        high = min(self.commit, self.durable) + 1
        if self.applied < self.applying or high <= self.applying + 1:
            return ()
        entries = tuple(self.slice(self.applying + 1, high, max_bytes, max_entries))
        if entries:
            self.applying = entries[-1].index
        return entries

    def applied_to(self, index: int) -> None:
        """The state machine has applied up to `index`."""
        if index > self.applying:
            raise ValueError(f"applied {index}, but no more than {self.applying} was handed out")
        self.applied = max(self.applied, index)
        self._maybe_shrink()

    def restore(self, index: int) -> None:
        """Begin anew after a snapshot at `index`, which storage already shows (7)."""
        self.tail.clear()
        self.tail_bytes = 0
        self.writes.clear()
        self.offset = index + 1
        self.last_index = self.handed = self.durable = index
        self.commit = self.applying = self.applied = index

    def _maybe_shrink(self) -> None:
        """Let go of the oldest cached entries, in strides, so that the cost per entry stays constant."""
        if self.tail_bytes <= self.cache_bytes:
            return
        removable = min(self.durable, self.applied) + 1 - self.offset
        excess, count = self.tail_bytes - self.cache_bytes * 3 // 4, 0
        while count < removable and excess > 0:
            excess -= len(self.tail[count].data) + ENTRY_OVERHEAD_BYTES
            count += 1
        self.tail_bytes -= _size(self.tail[:count])
        del self.tail[:count]
        self.offset += count


def _size(entries: Sequence[Entry]) -> int:
    return sum([len(entry.data) for entry in entries]) + ENTRY_OVERHEAD_BYTES * len(entries)
