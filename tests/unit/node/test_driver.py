"""The driver orders persist, send and apply; it promises nothing before the disk and the blobs are there."""

import hashlib
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from shared.errors import Busy, MinkaError, NotLeader, Refused
from shared.messages import Ticket
from worker import driver as driver_module
from worker.driver import Driver
from worker.raft import errors as raft_errors
from worker.raft.entries import Entry, EntryKind, HardState
from worker.raft.messages import Append, VoteReply
from worker.raft.ready import Leadership, ReadState, Ready, Role
from worker.registry import commands
from worker.registry.commands import Blob
from worker.registry.registry import Registry
from worker.unfounded import Unfounded, first_unfounded

LEADS = Leadership(Role.LEADER, "w1", 3)
FOLLOWS = Leadership(Role.FOLLOWER, "w2", 4)
VOTE = VoteReply("w2", "w1", 3, granted=True)
APPEND = Append("w2", "w1", 3, 0, 0, 0)
SESSION = commands.OpenSession("someone", 1)
BLOB = Blob(hashlib.sha256(b"large").hexdigest(), 100_000)


def command(index: int, what: Any = SESSION, term: int = 3) -> Entry:
    return Entry(term, index, EntryKind.COMMAND, commands.encode(what))


def names_blob(index: int, blob: Blob = BLOB) -> Entry:
    return command(index, commands.PutFile(Ticket(1, index, 0), "n", blob.digest, blob.size_bytes, 1))


class ScriptedCore:
    """Hands out the Readys that the test gave it, and remembers what it was told."""

    def __init__(self, story: list[Any]) -> None:
        self.story = story
        self.readies: list[Ready] = []
        self.proposed: list[bytes] = []
        self.reads: list[object] = []
        self.refuses: raft_errors.RaftError | None = None
        self.last_index = 0

    def status(self) -> Any:
        return SimpleNamespace(term=3)

    def tick(self, now: float) -> None: ...

    def deadline(self) -> float:
        return 7.0

    def ready(self) -> Ready | None:
        return self.readies.pop(0) if self.readies else None

    def propose(self, data: Sequence[bytes]) -> list[int]:
        if self.refuses is not None:
            raise self.refuses
        self.proposed += data
        first = self.last_index + 1
        self.last_index += len(data)
        return list(range(first, self.last_index + 1))

    def read_index(self, context: object) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.reads.append(context)

    def persisted(self, index: int, term: int, number: int) -> None:
        self.story.append(("persisted", index, number))

    def applied(self, index: int) -> None:
        self.story.append(("applied", index))


class ListLog:
    """A log in memory that shows what was installed."""

    def __init__(self, story: list[Any], entries: Sequence[Entry] = ()) -> None:
        self.story = story
        self.stored = list(entries)

    def prepare(self, hard_state: HardState | None, entries: Sequence[Entry]) -> Any:
        return tuple(entries)

    def installed(self, batch: Any) -> None:
        self.story.append(("installed", [entry.index for entry in batch]))
        if batch:
            self.stored = [entry for entry in self.stored if entry.index < batch[0].index] + list(batch)

    def first_index(self) -> int:
        return 1

    def last_index(self) -> int:
        return len(self.stored)

    def term(self, index: int) -> int:
        return self.stored[index - 1].term if index else 0

    def entries(self, low: int, high: int, max_bytes: int) -> list[Entry]:
        return self.stored[low - 1 : low]


class Bench:
    """A driver between a scripted core and surroundings that write the story down."""

    def __init__(self, entries: Sequence[Entry] = (), unfounded: Sequence[Unfounded] = ()) -> None:
        self.story: list[Any] = []
        self.lacking: set[str] = set()
        self.core = ScriptedCore(self.story)
        self.log = ListLog(self.story, entries)
        self.registry = Registry()
        core: Any = self.core
        self.driver = Driver(core, self.log, self.registry, self, unfounded)
        self._number = 0

    # driver.Surroundings

    def send(self, message: Any) -> None:
        self.story.append(("sent", type(message).__name__))

    def persist(self, batch: Any, number: int) -> None:
        self.story.append(("persist", number))

    def missing(self, blobs: tuple[Blob, ...]) -> set[str]:
        return {blob.digest for blob in blobs} & self.lacking

    def applied(self, entry: Entry, outcome: Any) -> None:
        self.story.append(("took effect", entry.index))

    def led(self, leadership: Leadership) -> None:
        self.story.append(("led", leadership.role.value))

    def time_ms(self) -> int:
        return 1

    # what the test does

    def ready(self, *entries: Entry, **parts: Any) -> int:
        """One Ready, handled; its number."""
        self._number += 1
        last = entries[-1] if entries else None
        index, term = (last.index, last.term) if last else (self.log.last_index(), 3)
        self.core.readies.append(Ready(self._number, index, term, entries=entries, **parts))
        self.driver.pump(0.0)
        return self._number

    def told(self, what: str) -> list[Any]:
        return [one[1:] for one in self.story if one[0] == what]


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def leader() -> Bench:
    bench = Bench()
    bench.ready(leadership=LEADS)
    bench.story.clear()
    return bench


def test_appends_leave_at_once_and_votes_when_they_are_durable(bench: Bench) -> None:
    number = bench.ready(command(1), hard_state=HardState(3, "w2"), messages=(APPEND,), after_persist=(VOTE,))
    assert bench.story == [("sent", "Append"), ("persist", number)]
    bench.driver.persisted(number)
    assert bench.story[2:] == [("installed", [1]), ("sent", "VoteReply"), ("persisted", 1, number)]


def test_several_writes_that_are_durable_at_once_are_installed_in_order(bench: Bench) -> None:
    numbers = [bench.ready(command(index)) for index in (1, 2, 3)]
    bench.driver.persisted(numbers[1])
    assert bench.told("installed") == [([1],), ([2],)]
    assert bench.told("persisted") == [(2, numbers[1])]
    bench.driver.persisted(numbers[2])
    assert bench.told("persisted")[-1] == (3, numbers[2])


def test_a_ready_without_writes_waits_for_those_before_it_and_for_nothing_else(bench: Bench) -> None:
    first = bench.ready(command(1))
    second = bench.ready(after_persist=(VOTE,))
    assert bench.told("sent") == []
    bench.driver.persisted(second)
    assert bench.told("sent") == [("VoteReply",)]
    third = bench.ready(after_persist=(VOTE,))
    assert bench.told("persist") == [(first,), (second,)]
    assert bench.told("persisted")[-1] == (1, third)


def test_an_entry_is_not_acknowledged_before_its_blob_is_here(bench: Bench) -> None:
    bench.lacking = {BLOB.digest}
    number = bench.ready(command(1), names_blob(2), command(3))
    bench.driver.persisted(number)
    assert bench.told("persisted") == [(1, number)]
    bench.driver.arrived("another")
    assert bench.told("persisted")[-1] == (1, number)
    bench.driver.arrived(BLOB.digest)
    assert bench.told("persisted")[-1] == (3, number)


def test_a_missing_blob_withholds_no_vote(bench: Bench) -> None:
    bench.lacking = {BLOB.digest}
    bench.driver.persisted(bench.ready(names_blob(1)))
    number = bench.ready(hard_state=HardState(4, "w2"), after_persist=(VOTE,))
    bench.driver.persisted(number)
    assert bench.told("sent") == [("VoteReply",)]
    assert bench.told("persisted")[-1] == (0, number)


def test_an_entry_that_another_leader_replaced_does_not_wait_for_its_blob(bench: Bench) -> None:
    bench.lacking = {BLOB.digest}
    bench.driver.persisted(bench.ready(command(1), names_blob(2)))
    number = bench.ready(command(2, term=4), command(3, term=4))
    bench.driver.persisted(number)
    assert bench.told("persisted")[-1] == (3, number)


def test_what_the_log_lacked_at_the_start_withholds_acknowledgement() -> None:
    first, second = names_blob(2), names_blob(4, Blob("b" * 64, 70_000))
    entries = [command(1), first, command(3), second]
    bench = Bench(entries)
    bench.lacking = {BLOB.digest, "b" * 64}
    founded, unfounded = first_unfounded(bench.log, bench.missing)
    assert (founded, [entry.index for entry in unfounded]) == (1, [2, 4])
    bench = Bench(entries, unfounded)
    bench.driver.arrived(BLOB.digest)
    bench.driver.arrived("b" * 64)
    assert bench.told("persisted") == [(3, 0), (4, 0)]


def test_a_blob_that_was_released_is_needed_only_by_later_entries() -> None:
    bench = Bench([command(1), names_blob(2), command(3), names_blob(4)])
    bench.lacking = {BLOB.digest}
    found = first_unfounded(bench.log, bench.missing, released={BLOB.digest: 3})
    assert (found[0], [entry.index for entry in found[1]]) == (3, [4])
    assert first_unfounded(bench.log, bench.missing, released={BLOB.digest: 4}) == (4, [])


def test_a_log_that_lacks_nothing_is_founded_to_its_end(bench: Bench) -> None:
    assert first_unfounded(bench.log, bench.missing) == (0, [])
    bench.log.stored = [command(1), names_blob(2)]
    assert first_unfounded(bench.log, bench.missing) == (2, [])


def test_a_command_is_answered_once_it_is_applied(leader: Bench) -> None:
    heard: list[Any] = []
    leader.driver.propose(SESSION, b"", heard.append)
    leader.driver.pump(0.0)
    entry = Entry(3, 1, EntryKind.COMMAND, leader.core.proposed[0])
    leader.ready(entry)
    assert heard == []
    leader.ready(committed=(entry,))
    assert heard == [{"session": 1}]
    assert leader.story[-2:] == [("took effect", 1), ("applied", 1)]


def test_a_refusal_of_the_state_machine_is_an_error(leader: Bench) -> None:
    heard: list[Any] = []
    leader.driver.propose(commands.RemoveFile(Ticket(99, 1, 0), 5, 1), b"", heard.append)
    leader.driver.pump(0.0)
    leader.ready(committed=(Entry(3, 1, EntryKind.COMMAND, leader.core.proposed[0]),))
    assert [type(error).__name__ for error in heard] == ["SessionExpired"]


def test_an_entry_of_another_term_at_the_same_place_answers_nobody_with_its_outcome(leader: Bench) -> None:
    heard: list[Any] = []
    leader.driver.propose(SESSION, b"", heard.append)
    leader.driver.pump(0.0)
    leader.ready(committed=(command(1, term=4),))
    assert [type(error) for error in heard] == [NotLeader]


def test_whoever_waits_is_answered_when_leadership_is_lost(leader: Bench) -> None:
    heard: list[Any] = []
    leader.driver.propose(SESSION, b"", heard.append)
    leader.driver.read(heard.append)
    leader.driver.pump(0.0)
    leader.core.refuses = raft_errors.NotLeader("w2")
    leader.driver.propose(SESSION, b"", heard.append)
    leader.driver.read(heard.append)
    leader.ready(leadership=FOLLOWS)
    assert sorted(type(error).__name__ for error in heard) == ["NotLeader"] * 3 + ["OutcomeUnknown"]
    assert {error.leader for error in heard if isinstance(error, NotLeader)} == {"w2"}
    leader.driver.propose(SESSION, b"", heard.append)
    assert isinstance(heard[-1], NotLeader)


def test_a_busy_core_refuses_and_appends_nothing(leader: Bench) -> None:
    heard: list[Any] = []
    leader.core.refuses = raft_errors.Busy("full")
    leader.driver.propose(SESSION, b"", heard.append)
    leader.driver.read(heard.append)
    leader.driver.pump(0.0)
    assert [type(error) for error in heard] == [Busy, Busy]


def test_reads_wait_until_their_index_is_applied(leader: Bench) -> None:
    heard: list[MinkaError | None] = []
    leader.driver.read(heard.append)
    leader.driver.read(heard.append)
    leader.driver.pump(0.0)
    (context,) = leader.core.reads
    leader.ready(reads=(ReadState(context, 2),))
    leader.ready(committed=(command(1),))
    assert heard == []
    leader.ready(committed=(command(2),))
    assert heard == [None, None]


def test_a_read_that_is_answered_twice_is_told_once(leader: Bench) -> None:
    heard: list[MinkaError | None] = []
    leader.driver.read(heard.append)
    leader.driver.pump(0.0)
    state = ReadState(leader.core.reads[0], 0)
    leader.ready(reads=(state, state))
    assert heard == [None]


def test_while_the_disk_stalls_proposals_wait_and_do_not_pile_up_at_the_writer(leader: Bench) -> None:
    small = Ticket(1, 1, 0)
    heard: list[Any] = []
    for index in range(1, driver_module.WRITES_LIMIT + 1):
        leader.ready(command(index))
    for _ in range(3):
        leader.driver.propose(commands.RemoveFile(small, 1, 1), b"", heard.append)
        leader.driver.pump(0.0)
    assert leader.core.proposed == []
    leader.driver.persisted(5)
    leader.driver.pump(0.0)
    assert (len(leader.core.proposed), heard) == (3, [])


def test_too_much_that_waits_for_the_disk_is_busy(leader: Bench) -> None:
    body, heard = bytes(65_536), list[Any]()
    put = commands.PutFile(Ticket(1, 1, 0), "n", "a" * 64, len(body), 1)
    leader.ready(Entry(3, 1, EntryKind.COMMAND, bytes(driver_module.WRITES_LIMIT_BYTES)))
    while not heard:
        leader.driver.propose(put, body, heard.append)
        leader.driver.pump(0.0)
    assert isinstance(heard[0], Busy)
    assert leader.core.proposed == []


def test_one_turn_proposes_no_more_than_the_disk_takes(leader: Bench) -> None:
    body = bytes(65_536)
    put = commands.PutFile(Ticket(1, 1, 0), "n", "a" * 64, len(body), 1)
    for _ in range(400):
        leader.driver.propose(put, body, lambda answer: None)
    leader.driver.pump(0.0)
    proposed = sum(map(len, leader.core.proposed))
    assert 0 < proposed < driver_module.WRITES_LIMIT_BYTES + 70_000


def test_a_command_that_no_entry_can_hold_is_refused_alone(
    leader: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver_module, "ENTRY_LIMIT_BYTES", 1000)
    heard: list[Any] = []
    rows = tuple({"round": number, "loss": 0.123456789} for number in range(50))
    blob = Blob("a" * 64, 1)
    leader.driver.propose(commands.Checkpoint("m1", 1, "", blob, rows, 1.0, 1), b"", heard.append)
    leader.driver.pump(0.0)
    assert [type(error) for error in heard] == [Refused]


def test_a_command_that_could_not_be_read_again_never_enters_the_log(leader: Bench) -> None:
    heard: list[Any] = []
    leader.driver.propose(commands.FailModel("m1", "x" * 70_000, "", 1), b"", heard.append)
    leader.driver.pump(0.0)
    assert [type(error) for error in heard] == [Refused]
    assert leader.core.proposed == []


def test_pump_says_when_time_must_be_told_again(bench: Bench) -> None:
    assert bench.driver.pump(0.0) == 7.0


def test_a_long_past_is_applied_in_many_turns(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_module, "TURN_ENTRIES", 3)
    for number in range(1, 10):
        bench.core.readies.append(Ready(number, 0, 0, committed=(command(number),)))
    turns = []
    while bench.core.readies:
        turns.append((bench.driver.pump(5.0), bench.registry.applied_index))
    assert turns == [(5.0, 3), (5.0, 6), (5.0, 9)]
    assert bench.driver.pump(5.0) == 7.0
