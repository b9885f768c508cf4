"""The numbers that a core is made with."""

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Config:
    """Timeouts in seconds, limits in bytes of entry data or in counts.

    A follower waits between one and two `election_timeout_s` for its leader. `crash_jitter_s` bounds the
    random wait between the loss of the leader's connection and the pre-vote that it starts.
    """

    id: str
    election_timeout_s: float = 1.0
    heartbeat_interval_s: float = 0.1
    max_election_timeout_s: float = 5.0
    crash_jitter_s: float = 0.02
    max_entry_bytes: int = 8 * MIB
    max_append_bytes: int = 1 * MIB
    max_append_entries: int = 4096
    max_inflight_messages: int = 256
    max_inflight_bytes: int = 16 * MIB
    max_uncommitted_bytes: int = 64 * MIB
    max_committed_bytes: int = 4 * MIB
    max_committed_entries: int = 512
    max_pending_reads: int = 65536
    cache_bytes: int = 32 * MIB
    snapshot_chunk_bytes: int = 1 * MIB

    def __post_init__(self) -> None:
        """Raises ValueError for numbers that cannot work together."""
        if not self.id:
            raise ValueError("a server needs an id")
        if not 0 < self.heartbeat_interval_s * 2 <= self.election_timeout_s <= self.max_election_timeout_s:
            raise ValueError("the election timeout must be two heartbeats at least, its maximum at most")
        if self.crash_jitter_s <= 0:
            raise ValueError("the jitter after a crash must be positive")
        limits = (
            self.max_entry_bytes,
            self.max_append_bytes,
            self.max_append_entries,
            self.max_inflight_messages,
            self.max_inflight_bytes,
            self.max_uncommitted_bytes,
            self.max_committed_bytes,
            self.max_committed_entries,
            self.max_pending_reads,
            self.cache_bytes,
            self.snapshot_chunk_bytes,
        )
        if min(limits) <= 0:
            raise ValueError("every limit must be positive")
