"""The face of the core: what a driver calls."""

import random
from collections.abc import Sequence

from worker.raft import (
    election,
    follower,
    read_index,
    reconfiguration,
    replication,
    snapshots,
    transfer,
)
from worker.raft.admission import admit
from worker.raft.config import Config
from worker.raft.entries import EntryKind, HardState, Membership
from worker.raft.errors import Busy, NotLeader, Refused
from worker.raft.log import Log
from worker.raft.membership import Configuration
from worker.raft.messages import (
    Append,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    Message,
    ReadReply,
    ReadRequest,
    SnapshotReply,
    TimeoutNow,
    VoteReply,
    VoteRequest,
)
from worker.raft.ready import Leadership, Ready, Role, Status
from worker.raft.state import Outbox, State
from worker.raft.storage import LogStorage, SnapshotSource


class Raft:
    """One server's part of the consensus. Pure: time, randomness and the disk's contents are handed in."""

    def __init__(
        self,
        config: Config,
        hard_state: HardState,
        storage: LogStorage,
        membership: Membership,
        rng: random.Random,
        now: float,
        *,
        stable_index: int | None = None,
        applied_index: int | None = None,
        snapshots: SnapshotSource | None = None,
    ) -> None:
        """Begin, or begin again after a crash, as a follower (5.2).

        `membership` is the one in force where `storage` begins: the snapshot's, or the initial one; changes in the
        log are read from there. Entries above `stable_index` count in elections, but are acknowledged only when
        `persisted` is called for them. `applied_index` is how far the state machine is (default: where the log begins).
        Raises ValueError for a state that no crash can leave behind.
        """
        log = Log(storage, stable_index, applied_index, config.cache_bytes)
        if hard_state.term < log.last_term():
            raise ValueError(
                f"the log is of term {log.last_term()}, later than the hard state's {hard_state.term}"
            )
        configuration = Configuration.of_log(storage, membership)
        self._state = State(config, hard_state, log, configuration, rng, now, snapshots)
        self._told = Leadership(Role.FOLLOWER, None, hard_state.term)

    def __repr__(self) -> str:
        return f"Raft({self._state!r})"

    def step(self, message: Message, now: float) -> None:
        """Take in a peer's message. Raises `Violation` for what no correct peer sends, and changes nothing."""
        state = self._state
        admit(state, message)
        state.now = max(state.now, now)
        if message.term > state.term:
            if not self._enter_term(message):
                return
        elif message.term < state.term:
            self._answer_the_past(message)
            return
        match message:
            case Append():
                state.heard_from_leader(message.sender)
                follower.handle_append(state, message)
            case AppendReply() if message.sender in state.progress:
                replication.handle_append_reply(state, message)
                reconfiguration.maybe_leave(state)
            case Heartbeat():
                state.heard_from_leader(message.sender)
                follower.handle_heartbeat(state, message)
                read_index.maybe_ask_again(state)
            case HeartbeatReply() if message.sender in state.progress:
                replication.handle_heartbeat_reply(state, message)
                read_index.maybe_confirm(state)
                reconfiguration.maybe_leave(state)
            case VoteRequest():
                election.handle_vote_request(state, message)
            case VoteReply():
                election.handle_vote_reply(state, message)
            case ReadRequest():
                read_index.handle_read_request(state, message)
            case ReadReply():
                read_index.handle_read_reply(state, message)
            case TimeoutNow():
                election.handle_timeout_now(state, message)
            case InstallSnapshot():
                state.heard_from_leader(message.sender)
                snapshots.handle_install_snapshot(state, message)
            case SnapshotReply() if message.sender in state.progress:
                snapshots.handle_snapshot_reply(state, message)

    def _enter_term(self, message: Message) -> bool:
        """Whether a message from a later term is to be handled, in that term unless it is a pre-vote (5.1, 9.6)."""
        state = self._state
        if isinstance(message, VoteRequest):
            if state.hears_leader() and not message.transfer:
                return False
            if not message.pre:
                state.become_follower(message.term, None)
        elif isinstance(message, Append | Heartbeat | InstallSnapshot):
            state.become_follower(message.term, message.sender)
        elif not (isinstance(message, VoteReply) and message.pre and message.granted):
            state.become_follower(message.term, None)
        return True

    def _answer_the_past(self, message: Message) -> None:
        """A leader or pre-candidate of an earlier term learns that it is one; without this, pre-vote could block it."""
        state = self._state
        if isinstance(message, Append | Heartbeat | InstallSnapshot):
            state.send(AppendReply(message.sender, state.id, state.term, 0, rejected=True))
        elif isinstance(message, VoteRequest):
            state.send(VoteReply(message.sender, state.id, state.term, granted=False, pre=message.pre))

    def tick(self, now: float) -> None:
        """Let time pass: do what is due at `now`, in seconds of a monotonic clock."""
        state = self._state
        state.now = max(state.now, now)
        if state.role is Role.LEADER:
            replication.tick_leader(state)
        else:
            election.tick_election(state)

    def deadline(self) -> float:
        """When `tick` is next needed."""
        state = self._state
        if state.role is not Role.LEADER:
            return state.election_deadline
        if state.transfer_target is not None:
            return min(state.heartbeat_deadline, state.transfer_deadline)
        return state.heartbeat_deadline

    def propose(self, data: Sequence[bytes]) -> list[int]:
        """Append commands; their indexes. Raises `NotLeader`, `Busy` or `Refused`; then none was appended."""
        state = self._state
        if state.role is not Role.LEADER:
            raise NotLeader(state.leader)
        transfer.check_staying(state)
        size_bytes = sum([len(command) for command in data])
        if state.proposed_bytes and state.proposed_bytes + size_bytes > state.config.max_uncommitted_bytes:
            raise Busy(f"{state.proposed_bytes} bytes are waiting to be committed")
        if not data:
            return []
        if max([len(command) for command in data]) > state.config.max_entry_bytes:
            raise Refused(f"a command is longer than {state.config.max_entry_bytes} bytes")
        return replication.append_own(state, [(EntryKind.COMMAND, command) for command in data])

    def propose_membership(self, membership: Membership) -> int:
        """Change the cluster by one voter; the entry's index. Raises `NotLeader`, `Busy`, `Refused`."""
        return reconfiguration.propose(self._state, membership)

    def read_index(self, context: object) -> None:
        """Ask for a read index; `Ready.reads` answers with `context`. Raises `NotLeader(None)` or `Busy`."""
        read_index.request(self._state, context)

    def peer_lost(self, id: str, now: float) -> None:
        """The connection to `id` broke (reset or closed by its system): evidence of a crash."""
        state = self._state
        state.now = max(state.now, now)
        if state.role is Role.LEADER:
            replication.handle_peer_lost(state, id)
        elif state.leader == id:
            election.handle_leader_lost(state)

    def transfer_leader(self, id: str, now: float) -> None:
        """Hand leadership to `id`. Raises `NotLeader`, `Refused`."""
        self._state.now = max(self._state.now, now)
        transfer.begin(self._state, id)

    def ready(self) -> Ready | None:
        """Everything there is to do, handed over once; None if there is nothing."""
        state = self._state
        if state.role is Role.LEADER:
            replication.flush(state)
        read_index.flush(state)
        number, log = state.number + 1, state.log
        entries = log.hand_over(number)
        chunk = snapshots.hand_over(state, number)
        restoring = state.incoming is not None and state.incoming.restoring
        committed = (
            ()
            if restoring
            else log.hand_committed(state.config.max_committed_bytes, state.config.max_committed_entries)
        )
        outbox, hard_state = state.outbox, self._changed_hard_state(number)
        leadership = self._changed_leadership()
        waits = outbox.messages or outbox.after_persist or outbox.reads
        if not (waits or entries or chunk or committed or hard_state or leadership):
            return None
        state.number = number
        state.outbox = Outbox()
        return Ready(
            number=number,
            last_index=log.last_index,
            last_term=log.last_term(),
            hard_state=hard_state,
            entries=entries,
            snapshot=chunk,
            messages=tuple(outbox.messages),
            after_persist=tuple(outbox.after_persist),
            committed=committed,
            reads=tuple(outbox.reads),
            leadership=leadership,
        )

    def _changed_hard_state(self, number: int) -> HardState | None:
        state = self._state
        if state.is_hard_state_handed():
            return None
        hard_state = HardState(state.term, state.voted_for)
        state.handed_hard_state, state.hard_state_number = hard_state, number
        return hard_state

    def _changed_leadership(self) -> Leadership | None:
        state = self._state
        told = self._told
        if told.role is state.role and told.leader == state.leader and told.term == state.term:
            return None
        self._told = Leadership(state.role, state.leader, state.term)
        return self._told

    def persisted(self, index: int, term: int, number: int) -> None:
        """The writes of Readys up to `number` are durable, entries up to (`index`, `term`) acknowledged.

        Storage already shows them. (`index`, `term`) are that Ready's `last_index` and `last_term`, or lower ones while
        an entry's blobs are missing; call again, with the newest `number` so reported, when they have come. A report
        that has been overtaken by a truncation is ignored.
        """
        state = self._state
        if number > state.number:
            raise ValueError(f"Ready {number} was not handed over yet")
        state.durable_number = max(state.durable_number, number)
        snapshots.chunk_persisted(state, number)
        if state.log.persisted(index, term, number):
            if state.role is Role.LEADER:
                replication.maybe_commit(state)
                reconfiguration.maybe_leave(state)
            else:
                follower.acknowledge(state)
        election.vote_persisted(state)

    def snapshot_refused(self) -> None:
        """The driver could not take the snapshot whose last chunk it was given: the leader begins it anew (7)."""
        self._state.incoming = None

    def applied(self, index: int) -> None:
        """The state machine has applied up to `index`: further committed entries may be handed out."""
        self._state.log.applied_to(index)
        self._state.configuration.forget_before(self._state.log.applied)

    def applied_membership(self) -> Membership:
        """The membership at the applied index: what a snapshot of the state machine as it is now has to name."""
        return self._state.configuration.at(self._state.log.applied)

    def status(self) -> Status:
        """A view for people and tests."""
        state = self._state
        log = state.log
        return Status(
            id=state.id,
            role=state.role,
            term=state.term,
            voted_for=state.voted_for,
            leader=state.leader,
            commit_index=log.commit,
            applied_index=log.applied,
            last_index=log.last_index,
            durable_index=log.durable,
            membership=state.configuration.current,
            election_timeout_s=state.election_timeout_s(),
            peers={peer: progress.status(state.now) for peer, progress in state.progress.items()},
        )
