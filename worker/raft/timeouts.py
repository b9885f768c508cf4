"""Timeouts that fit the network: randomised (5.2), and longer where round trips are measured to be long (5.6)."""

import random

from worker.raft.config import Config

ROUND_TRIPS_PER_TIMEOUT = 8
MAX_ROUND_TRIP_S = 60.0


class RoundTrip:
    """A smoothed round trip and its deviation, in seconds, by the estimator of RFC 6298, section 2."""

    __slots__ = ("deviation_s", "smoothed_s")

    def __init__(self) -> None:
        self.smoothed_s = 0.0
        self.deviation_s = 0.0

    def measured(self, sample_s: float) -> None:
        """Take one measurement in."""
        if self.smoothed_s == 0.0:
            self.smoothed_s, self.deviation_s = sample_s, sample_s / 2
            return
        self.deviation_s += (abs(sample_s - self.smoothed_s) - self.deviation_s) / 4
        self.smoothed_s += (sample_s - self.smoothed_s) / 8

    def bound_s(self) -> float:
        """What a round trip seldom exceeds; 0 before the first measurement."""
        return min(MAX_ROUND_TRIP_S, self.smoothed_s + 4 * self.deviation_s)


def election_timeout_s(config: Config, round_trip_s: float) -> float:
    """The shortest election timeout where `round_trip_s` is what a round trip seldom exceeds."""
    measured = ROUND_TRIPS_PER_TIMEOUT * round_trip_s
    return min(config.max_election_timeout_s, max(config.election_timeout_s, measured))


def randomised(timeout_s: float, rng: random.Random) -> float:
    """Between one and two `timeout_s`, so that split votes are rare and short (5.2)."""
    return timeout_s * (1.0 + rng.random())
