"""What the leader knows of one follower, and how much it may have under way to it (5.3, dissertation 10.2.1)."""

from collections import deque

from worker.raft.config import Config
from worker.raft.entries import SnapshotMeta
from worker.raft.ready import PeerStatus, ProgressState
from worker.raft.timeouts import RoundTrip


class Progress:
    """`match` is durable there; `next` is what to send next. Times are seconds of the core's clock."""

    __slots__ = (
        "acked_round",
        "heard",
        "id",
        "inflight",
        "inflight_bytes",
        "mark_index",
        "mark_round",
        "match",
        "max_bytes",
        "max_messages",
        "next",
        "probe_sent",
        "round_trip",
        "sent_commit",
        "snapshot",
        "snapshot_offset",
        "snapshot_sent",
        "state",
    )

    def __init__(self, id: str, next_index: int, config: Config, now: float) -> None:
        self.id = id
        self.state = ProgressState.PROBE
        self.match = 0
        self.next = next_index
        self.max_messages = config.max_inflight_messages
        self.max_bytes = config.max_inflight_bytes
        self.inflight: deque[tuple[int, int]] = deque()
        self.inflight_bytes = 0
        self.probe_sent = False
        self.sent_commit = 0
        self.heard = now
        self.acked_round = 0
        self.mark_round = 0
        self.mark_index = 0
        self.round_trip = RoundTrip()
        self.snapshot: SnapshotMeta | None = None
        self.snapshot_offset = 0
        self.snapshot_sent = now

    def __repr__(self) -> str:
        return f"Progress({self.id} {self.state.value} match={self.match} next={self.next} inflight={len(self.inflight)})"

    def become_probe(self, next_index: int) -> None:
        """Send one message at a time from `next_index`, until the follower agrees."""
        self.state = ProgressState.PROBE
        self.next = max(next_index, self.match + 1)
        self._reset()

    def become_replicate(self, next_index: int) -> None:
        """Send a pipeline of messages from `next_index`."""
        self.state = ProgressState.REPLICATE
        self.next = max(next_index, self.match + 1)
        self._reset()

    def become_snapshot(self, snapshot: SnapshotMeta) -> None:
        """Send `snapshot`, chunk by chunk, from its start."""
        self.state = ProgressState.SNAPSHOT
        self._reset()
        self.snapshot = snapshot
        self.snapshot_offset = 0

    def _reset(self) -> None:
        self.inflight.clear()
        self.inflight_bytes = 0
        self.probe_sent = False
        self.mark_round = 0
        self.snapshot = None

    def is_paused(self) -> bool:
        """Whether nothing more may be sent until the follower answers."""
        if self.state is ProgressState.REPLICATE:
            return len(self.inflight) >= self.max_messages or self.inflight_bytes >= self.max_bytes
        return self.state is ProgressState.SNAPSHOT or self.probe_sent

    def sent(self, last_index: int, size_bytes: int) -> None:
        """An append that ends at `last_index` is under way."""
        if self.state is ProgressState.PROBE:
            self.probe_sent = True
        elif last_index >= self.next:
            self.next = last_index + 1
            self.inflight.append((last_index, size_bytes))
            self.inflight_bytes += size_bytes

    def maybe_update(self, index: int) -> bool:
        """Whether the follower's durable log grew; what is under way up to `index` has arrived."""
        while self.inflight and self.inflight[0][0] <= index:
            self.inflight_bytes -= self.inflight.popleft()[1]
        if index <= self.match:
            return False
        self.match = index
        self.next = max(self.next, index + 1)
        return True

    def maybe_decrease(self, rejected: int, hint: int) -> bool:
        """Whether `next` goes back after a rejection of what follows `rejected`; False if that answer is stale."""
        if rejected <= self.match or self.state is ProgressState.SNAPSHOT:
            return False
        if self.state is ProgressState.REPLICATE:
            self.become_probe(self.match + 1)
            return True
        if self.next - 1 != rejected:
            return False
        self.become_probe(min(rejected, hint + 1))
        return True

    def mark(self, round: int) -> None:
        """Remember what had been sent before the heartbeat of `round`: its answer tells whether all arrived."""
        if self.mark_round:
            return
        if self.state is ProgressState.REPLICATE:
            self.mark_round, self.mark_index = round, self.next - 1
        elif self.probe_sent:
            self.mark_round, self.mark_index = round, self.match + 1

    def may_replicate(self, round: int, received: int, known: int) -> bool:
        """Whether the answer to `round` shows the place of agreement that was probed for; `known` is the last match.

        The probe's own answer is awaited, unless the heartbeat was sent after it.
        """
        answered = not self.probe_sent or 0 < self.mark_round <= round
        return (
            self.state is ProgressState.PROBE and answered and (received > known or received >= self.next - 1)
        )

    def maybe_lost(self, round: int, received: int) -> bool:
        """Whether the answer to `round` shows that something sent before it did not arrive."""
        if not self.mark_round or round < self.mark_round:
            return False
        self.mark_round = 0
        return received < self.mark_index

    def status(self, now: float) -> PeerStatus:
        """A view for people and tests."""
        return PeerStatus(
            state=self.state,
            match_index=self.match,
            next_index=self.next,
            inflight_messages=len(self.inflight),
            inflight_bytes=self.inflight_bytes,
            heard_s=max(0.0, now - self.heard),
            round_trip_s=self.round_trip.bound_s(),
        )
