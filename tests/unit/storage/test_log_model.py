"""Random histories of the log against a list: appends, cuts, votes, snapshots, restarts, torn tails."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.storage.test_log import DISK, ME, MEMBERS, entries, everything
from worker.raft.entries import Entry, HardState, SnapshotMeta
from worker.storage import tail
from worker.storage.log import Batch, EntryLog
from worker.storage.recovery import segment_path


@dataclass
class Model:
    """What the log must hold: the entries after `base`, and what else is durable."""

    base: int = 0
    base_term: int = 0
    entries: list[Entry] = field(default_factory=list)
    hard_state: HardState = field(default_factory=HardState)
    snapshot: int = 0

    @property
    def last(self) -> int:
        return self.base + len(self.entries)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 6), st.integers(0, 300)),
        st.tuples(st.just("cut"), st.integers(1, 8), st.integers(0, 40)),
        st.tuples(st.just("vote"), st.sampled_from([None, "w1", "w2"]), st.just(0)),
        st.tuples(st.just("compact"), st.integers(0, 20), st.integers(0, 5)),
        st.tuples(st.just("replace"), st.integers(-3, 10), st.integers(0, 2)),
        st.tuples(st.just("restart"), st.sampled_from(["closed", "killed", "torn"]), st.integers(1, 60)),
    ),
    max_size=40,
)


def prepared(log: EntryLog, model: Model, term: int, step: tuple[str, object, int]) -> Batch:
    """The batch of one step, and the model after it."""
    name, what, more = step
    if name == "append":
        assert isinstance(what, int)
        new = entries(model.last + 1, model.last + what, term, more)
        model.entries += new
        return log.prepare(None, new)
    if name == "cut":
        assert isinstance(what, int)
        first = max(model.last + 1 - what, model.base + 1)
        new = entries(first, first + 1, term, more)
        model.entries[first - model.base - 1 :] = new
        return log.prepare(HardState(term, "w3"), new)
    if name == "vote":
        return log.prepare(HardState(term, what if isinstance(what, str) else None), ())
    if name == "compact":
        assert isinstance(what, int)
        index = min(model.base + what, model.last)
        keep_from = max(index + 1 - more, model.base + 1)
        gone = keep_from - 1 - model.base
        if gone:
            model.base, model.base_term = keep_from - 1, model.entries[gone - 1].term
            del model.entries[:gone]
        model.snapshot = index
        return log.prepare(None, (), SnapshotMeta(index, log.term(index), MEMBERS), keep_from)
    assert isinstance(what, int)
    index = max(model.last + what, model.base)
    new = entries(index + 1, index + more, term)
    model.base, model.base_term, model.snapshot, model.entries = index, term, index, list(new)
    return log.prepare(None, new, SnapshotMeta(index, term, MEMBERS))


def check(log: EntryLog, model: Model) -> None:
    assert (log.first_index(), log.last_index()) == (model.base + 1, model.last)
    assert everything(log) == model.entries
    assert (log.term(model.base), log.hard_state) == (model.base_term, model.hard_state)
    assert log.snapshot().index == model.snapshot


def restarted(path: Path, log: EntryLog, how: object, junk_bytes: int, cache_bytes: int) -> EntryLog:
    if how == "closed":
        log.close()
    else:
        end = log._tail._end
        newest = max(log._segments)
        for segment in (*log._segments.values(), *log._tail.retired):
            segment.file.close()
        if how == "torn":
            with segment_path(path, newest).open("r+b") as file:
                file.seek(end)
                file.write(b"MBAT" + b"\x5a" * junk_bytes)
    log = EntryLog.open(DISK, path, ME, cache_bytes=cache_bytes)
    assert (log.torn_bytes > 0) == (how == "torn")
    return log


@settings(max_examples=150)
@given(
    steps=STEPS,
    cache_bytes=st.sampled_from([0, 1000, 1 << 20]),
    segment_bytes=st.sampled_from([1, 2500, 1 << 20]),
)
def test_the_log_is_what_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, object, int]],
    cache_bytes: int,
    segment_bytes: int,
) -> None:
    path = tmp_path_factory.mktemp("log")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tail, "SEGMENT_BYTES", segment_bytes)
        patch.setattr(tail, "AHEAD_BYTES", 1700)
        log = EntryLog.open(DISK, path, ME, cache_bytes=cache_bytes)
        model = Model()
        for term, step in enumerate(steps, 1):
            if step[0] == "restart":
                log = restarted(path, log, step[1], step[2], cache_bytes)
            else:
                batch = prepared(log, model, term, step)
                log.write([batch])
                log.installed(batch)
                model.hard_state = batch.hard_state or model.hard_state
                if term % 3 == 0:
                    log.mark()
            check(log, model)
        check(restarted(path, log, "killed", 1, cache_bytes), model)
