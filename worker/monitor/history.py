"""What a monitor remembers over time: samples for its live charts, and the rounds of models."""

from collections import deque
from collections.abc import Iterable
from typing import Any

SAMPLES_KEPT = 300
"""One a second: five minutes."""
ROUNDS_KEPT = 2_000
MODELS_KEPT = 200

Row = dict[str, Any]


class Rounds:
    """The rounds of one model by number, at most `ROUNDS_KEPT`: then every other one is let go of."""

    def __init__(self) -> None:
        self._rows: dict[int, Row] = {}

    def take(self, rows: Iterable[Row]) -> None:
        """Rounds that are new, or that more is known of."""
        for row in rows:
            self._rows[int(row["round"])] = row
        if len(self._rows) > ROUNDS_KEPT:
            numbers = sorted(self._rows)
            for number in numbers[-2::-2]:
                del self._rows[number]

    def rows(self) -> list[Row]:
        """All that are known, in order."""
        return [self._rows[number] for number in sorted(self._rows)]


class Samples:
    """How fast things go, and how full the machine is, second by second."""

    def __init__(self) -> None:
        self._rows: deque[Row] = deque(maxlen=SAMPLES_KEPT)
        self._before: tuple[float, dict[str, float]] | None = None

    def add(self, now: float, time_s: float, counts: dict[str, float], machine: Row) -> Row:
        """One sample: `counts` are of things that only grow, and become rates per second (None at first)."""
        rates: Row = dict.fromkeys(counts)
        if self._before is not None:
            then, before = self._before
            passed_s = max(now - then, 1e-9)
            rates = {
                name: max(0.0, count - before.get(name, count)) / passed_s for name, count in counts.items()
            }
        self._before = (now, counts)
        sample = {"time": round(time_s, 3), **machine, "rates": rates}
        self._rows.append(sample)
        return sample

    def rows(self) -> list[Row]:
        """The samples kept, oldest first."""
        return list(self._rows)
