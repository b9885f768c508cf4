"""Where each entry of the log stands: 8 bytes of memory an entry, and what few runs of equal term or segment take."""

from array import array
from bisect import bisect_left, bisect_right


class Runs:
    """A value for every index, kept as the indexes at which it changes."""

    __slots__ = ("_starts", "_values")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._values: list[int] = []

    def append(self, index: int, value: int) -> None:
        """From `index` on, which is above every index so far, the value is `value`."""
        if not self._values or self._values[-1] != value:
            self._starts.append(index)
            self._values.append(value)

    def at(self, index: int) -> int:
        return self._values[bisect_right(self._starts, index) - 1]

    def cut_from(self, index: int) -> None:
        while self._starts and self._starts[-1] >= index:
            self._starts.pop()
            self._values.pop()

    def forget_below(self, index: int) -> None:
        kept = max(bisect_right(self._starts, index) - 1, 0)
        del self._starts[:kept], self._values[:kept]
        if self._starts:
            self._starts[0] = max(self._starts[0], index)


class Positions:
    """Entries base + 1 to last, in order, without gaps: term, segment, offset and length of each one's record."""

    __slots__ = ("_offsets", "_segments", "_sizes", "_terms", "base_index", "base_term")

    def __init__(self, base_index: int = 0, base_term: int = 0) -> None:
        self.restart(base_index, base_term)

    def restart(self, base_index: int, base_term: int) -> None:
        """Hold nothing; the next entry is that after `base_index`."""
        self.base_index, self.base_term = base_index, base_term
        self._terms, self._segments = Runs(), Runs()
        self._offsets, self._sizes = array("I"), array("I")

    @property
    def last_index(self) -> int:
        return self.base_index + len(self._offsets)

    def append(self, index: int, term: int, segment: int, offset: int, size_bytes: int) -> None:
        """Put the record of entry `index` in; an index that is held already cuts it and all after it off first.

        Raises ValueError for a gap, or an index at or below the base.
        """
        expected = self.base_index + len(self._offsets) + 1
        if index != expected:
            if not self.base_index < index < expected:
                raise ValueError(
                    f"entry {index} after {expected - 1}, the log beginning after {self.base_index}"
                )
            self.cut_from(index)
        self._terms.append(index, term)
        self._segments.append(index, segment)
        self._offsets.append(offset)
        self._sizes.append(size_bytes)

    def cut_from(self, index: int) -> None:
        """Forget entry `index` and all after it."""
        at = index - self.base_index - 1
        del self._offsets[at:], self._sizes[at:]
        self._terms.cut_from(index)
        self._segments.cut_from(index)

    def move_base(self, index: int, term: int) -> None:
        """Forget the entries up to `index`, whose term is `term`; if there are no more than these, all of them."""
        if index >= self.last_index:
            self.restart(index, term)
            return
        gone = index - self.base_index
        del self._offsets[:gone], self._sizes[:gone]
        self._terms.forget_below(index + 1)
        self._segments.forget_below(index + 1)
        self.base_index, self.base_term = index, term

    def term(self, index: int) -> int:
        """The term of an entry from the base to the last; IndexError for any other."""
        if not self.base_index < index <= self.last_index:
            if index == self.base_index:
                return self.base_term
            raise IndexError(f"no entry {index} in {self.base_index + 1} to {self.last_index}")
        return self._terms.at(index)

    def segment(self, index: int) -> int:
        return self._segments.at(index)

    def within(self, segment: int, start: int, end: int) -> range:
        """The entries whose records begin in this segment from byte `start` on, and before `end`."""
        indexes = range(self.base_index + 1, self.last_index + 1)

        def place(index: int) -> tuple[int, int]:
            return self.segment(index), self.offset(index)

        low, high = (bisect_left(indexes, (segment, at), key=place) for at in (start, end))
        return indexes[low:high]

    def offset(self, index: int) -> int:
        return self._offsets[index - self.base_index - 1]

    def size_bytes(self, index: int) -> int:
        return self._sizes[index - self.base_index - 1]
