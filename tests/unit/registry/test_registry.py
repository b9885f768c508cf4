"""The state machine: what each command does, and what it refuses."""

import hashlib
import json
from dataclasses import replace
from typing import Any
from unittest.mock import ANY

import pytest

from shared.errors import Refused
from shared.messages import INLINE_BYTES, Ticket
from worker.registry import commands
from worker.registry.commands import Blob, Command
from worker.registry.examples import ExampleRow
from worker.registry.registry import Outcome, Registry
from worker.registry.rows import HISTORY_ROWS, KEPT_STATES

STATE = Blob("aa" * 32, 800_000)
OTHER = Blob("bb" * 32, 800_000)
WEIGHTS = Blob("cc" * 32, 400_000)
DATASET = Blob("dd" * 32, 900_000)
SPEC = {"arch": "mlp", "epochs": 2}


class Bench:
    """A registry and a session in it; time rises by a second with each command."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.entries: list[bytes] = []
        self.sequence = 0
        self.session = self.done(commands.OpenSession("ana@lab", self.time_ms))["session"]

    @property
    def time_ms(self) -> int:
        return 1_000_000 + 1000 * len(self.entries)

    @property
    def ticket(self) -> Ticket:
        self.sequence += 1
        return Ticket(self.session, self.sequence, 0)

    def apply(self, command: Command, body: bytes = b"") -> Outcome:
        self.entries.append(commands.encode(command, body))
        return self.registry.apply(len(self.entries), self.entries[-1])

    def done(self, command: Command, body: bytes = b"") -> dict[str, Any]:
        outcome = self.apply(command, body)
        assert "answer" in outcome.answer, outcome.answer
        answer: dict[str, Any] = outcome.answer["answer"]
        return answer

    def refused(self, command: Command) -> str:
        outcome = self.apply(command)
        assert outcome.changes == ()
        assert outcome.records == ()
        return str(outcome.answer["failure"]["reason"])

    def put(self, name: str = "f", data: bytes = b"data", size_bytes: int | None = None) -> int:
        digest = hashlib.sha256(data).hexdigest()
        size_bytes = len(data) if size_bytes is None else size_bytes
        answer = self.done(commands.PutFile(self.ticket, name, digest, size_bytes, self.time_ms))
        return int(answer["file"]["id"])

    def model(self) -> str:
        sources = {"inputs": self.put("in"), "outputs": self.put("out")}
        create = commands.CreateModel(self.ticket, "digits", SPEC, sources, self.time_ms)
        return str(self.done(create)["model"])

    def training(self) -> str:
        model = self.model()
        self.done(commands.DatasetReady(model, DATASET, SPEC, {"examples": 9}, 10, self.time_ms))
        return model

    def checkpoint(
        self, model: str, round_: int = 3, parent: str = "", state: Blob = STATE
    ) -> commands.Checkpoint:
        history = ({"round": round_, "loss": 0.5, "test_accuracy": 0.75},)
        return commands.Checkpoint(model, round_, parent, state, history, 1.5, self.time_ms)

    def finish(self, model: str, parent: str = "") -> commands.FinishModel:
        history = ({"round": 10, "loss": 0.25, "test_accuracy": 0.875},)
        return commands.FinishModel(model, parent, WEIGHTS, history, 2.5, 100.0, 0.875, {}, self.time_ms)


@pytest.fixture
def bench() -> Bench:
    return Bench()


# --- files


def test_a_file_is_named_by_the_entry_that_put_it(bench: Bench) -> None:
    outcome = bench.apply(commands.PutFile(bench.ticket, "cat.png", "ab" * 32, 4, bench.time_ms))
    file = outcome.answer["answer"]["file"]
    assert file == {
        "id": 2,
        "name": "cat.png",
        "bytes": 4,
        "digest": "ab" * 32,
        "index": 2,
        "created": 1001.0,
    }
    assert [(change.set, change.id) for change in outcome.changes] == [("files", 2)]
    assert len(outcome.records) == 1
    assert (outcome.records[0].client, outcome.records[0].kind) == ("ana@lab", "put")


def test_a_file_is_found_by_its_id_or_a_name_that_only_it_has(bench: Bench) -> None:
    first, second, third = bench.put("one"), bench.put("two"), bench.put("two")
    assert bench.registry.find_file("one").id == first
    assert bench.registry.find_file(str(second)).id == second
    with pytest.raises(Refused, match=rf"2 files.*{second}, {third}"):
        bench.registry.find_file("two")


@pytest.mark.parametrize("wanted", ["", "three", "-1", "²", "٣", "1" * 5_000, "9" * 65_536])
def test_what_is_no_file_is_refused_however_it_is_written(bench: Bench, wanted: str) -> None:
    bench.put()
    with pytest.raises(Refused, match="no file"):
        bench.registry.find_file(wanted)


def test_a_name_in_digits_is_found_too(bench: Bench) -> None:
    file = bench.put("2024")
    assert bench.registry.find_file("2024").id == file


def test_each_noted_prediction_is_a_record_of_who_asked(bench: Bench) -> None:
    before = bench.registry.record_count
    clients, summaries = ("client-0", "client-1", "client-2"), ("m4: 0", "m4: 1", "m4: 2")
    outcome = bench.apply(commands.NotePredictions(clients, summaries, bench.time_ms))
    rows = [(row.record, row.index, row.client, row.kind, row.summary) for row in outcome.records]
    index = bench.registry.applied_index
    assert rows == [(before + n + 1, index, f"client-{n}", "predict", f"m4: {n}") for n in range(3)]
    assert outcome.answer == {"answer": {"index": index}}
    assert bench.registry.record_count == before + 3


def test_a_removed_file_is_gone_and_its_content_stays_while_another_has_it(bench: Bench) -> None:
    first, second = bench.put("one", b"same"), bench.put("two", b"same")
    digest = bench.registry.files[first].digest
    bench.done(commands.RemoveFile(bench.ticket, first, bench.time_ms))
    assert bench.registry.small_file(digest) == second
    bench.done(commands.RemoveFile(bench.ticket, second, bench.time_ms))
    assert bench.registry.small_file(digest) is None
    assert "no file" in bench.refused(commands.RemoveFile(bench.ticket, second, bench.time_ms))
    with pytest.raises(Refused):
        bench.registry.find_file("one")


def test_pages_of_files_go_on_behind_the_last_one(bench: Bench) -> None:
    files = [bench.put(f"f{number}") for number in range(7)]
    bench.done(commands.RemoveFile(bench.ticket, files[2], bench.time_ms))
    files.pop(2)
    seen: list[int] = []
    while page := bench.registry.files_after(seen[-1] if seen else 0, 2):
        seen += [row.id for row in page]
    assert seen == files


# --- models


def test_a_job_goes_from_queued_to_done(bench: Bench) -> None:
    model = bench.training()
    row = bench.registry.models[model]
    assert (row.status, row.rounds) == ("training", 10)
    bench.done(bench.checkpoint(model))
    assert (row.round, row.state, row.test_accuracy) == (3, STATE, 0.75)
    assert row.blobs == (DATASET, STATE)
    outcome = bench.apply(bench.finish(model, STATE.digest))
    assert (row.status, row.weights, row.state, row.round) == ("done", WEIGHTS, None, 10)
    assert row.summary()["progress"] == 1.0
    assert [one["round"] for one in row.history] == [3, 10]
    assert len(outcome.records) == 1
    assert "87.50%" in outcome.records[0].summary


def test_a_job_needs_its_files_only_when_it_is_created(bench: Bench) -> None:
    sources = {"inputs": bench.put(), "outputs": 99}
    create = commands.CreateModel(bench.ticket, "n", SPEC, sources, bench.time_ms)
    assert "no file 99 (outputs)" in bench.refused(create)
    model = bench.model()
    for row in list(bench.registry.models[model].sources.values()):
        bench.done(commands.RemoveFile(bench.ticket, row.id, bench.time_ms))
    bench.done(commands.DatasetReady(model, DATASET, SPEC, {}, 10, bench.time_ms))


def test_checkpoints_compare_and_set(bench: Bench) -> None:
    model = bench.training()
    bench.done(bench.checkpoint(model))
    assert "another checkpoint" in bench.refused(bench.checkpoint(model, 5, ""))
    assert "round 3 already" in bench.refused(bench.checkpoint(model, 3, STATE.digest))
    assert "another checkpoint" in bench.refused(bench.finish(model, OTHER.digest))
    bench.done(bench.checkpoint(model, 5, STATE.digest, OTHER))
    assert bench.registry.models[model].state == OTHER


def test_some_checkpoints_are_kept_the_newest_among_them(bench: Bench) -> None:
    model = bench.training()
    row = bench.registry.models[model]
    parent = ""
    for round_ in range(1, 30):
        state = Blob(f"{round_:064x}", 5)
        checkpoint = replace(bench.checkpoint(model, round_, parent, state), chain=f"{round_:064x}")
        bench.done(checkpoint)
        parent = state.digest
        rounds = [kept.round for kept in row.kept]
        assert rounds == sorted(set(rounds))
        assert rounds[-1] == round_
        assert min(round_, KEPT_STATES // 2) <= len(rounds) <= KEPT_STATES
        assert row.chain == f"{round_:064x}"
        assert set(row.blobs) == {DATASET, state, *(kept.state for kept in row.kept)}
    bench.done(bench.finish(model, parent))
    assert set(row.blobs) == {DATASET, WEIGHTS, *(kept.state for kept in row.kept)}
    public = row.public()["checkpoints"]
    assert [each["round"] for each in public] == [kept.round for kept in row.kept]


def test_a_checkpoint_of_an_older_release_is_not_kept(bench: Bench) -> None:
    model = bench.training()
    bench.done(bench.checkpoint(model))
    row = bench.registry.models[model]
    assert (row.state, row.kept, row.chain) == (STATE, [], "")


def test_a_job_that_was_cancelled_or_failed_keeps_no_checkpoints(bench: Bench) -> None:
    for end in ("failed", "cancelled"):
        model = bench.training()
        bench.done(replace(bench.checkpoint(model), chain="ab" * 32))
        row = bench.registry.models[model]
        assert row.kept
        if end == "failed":
            bench.done(commands.FailModel(model, "why", "", bench.time_ms))
        else:
            bench.done(commands.CancelModel(bench.ticket, model, bench.time_ms))
        assert (row.status, row.kept) == (end, [])


def test_a_data_set_is_made_once(bench: Bench) -> None:
    model = bench.training()
    ready = commands.DatasetReady(model, OTHER, SPEC, {}, 5, bench.time_ms)
    assert "already" in bench.refused(ready)
    assert bench.registry.models[model].dataset == DATASET


@pytest.mark.parametrize("end", ["done", "failed", "cancelled"])
def test_what_has_ended_stays_so(bench: Bench, end: str) -> None:
    model = bench.training()
    endings: dict[str, Command] = {
        "done": bench.finish(model),
        "failed": commands.FailModel(model, "It broke.", "Traceback", bench.time_ms),
        "cancelled": commands.CancelModel(bench.ticket, model, bench.time_ms),
    }
    assert bench.done(endings[end])["status"] == end
    again: list[Command] = [
        bench.finish(model),
        bench.checkpoint(model),
        commands.FailModel(model, "Again.", "", bench.time_ms),
        commands.CancelModel(bench.ticket, model, bench.time_ms),
        commands.DatasetReady(model, OTHER, SPEC, {}, 5, bench.time_ms),
    ]
    for command in again:
        assert f"{end} already" in bench.refused(command)


def test_a_model_that_is_not_there_is_refused(bench: Bench) -> None:
    assert "no model" in bench.refused(commands.CancelModel(bench.ticket, "m99", bench.time_ms))
    with pytest.raises(Refused):
        bench.registry.find_model("m99")


def test_a_worker_that_is_enlisted_again_keeps_its_disk(bench: Bench) -> None:
    """A client repeats its question at a new leader, which may not yet know that the worker was taken in."""
    for address, disk in (("h:1", ""), ("h:1", "d1"), ("h:1", ""), ("h:2", "")):
        bench.done(commands.Enlist("w4", address, disk, bench.time_ms))
    assert bench.registry.members["w4"].public() == {"id": "w4", "address": "h:2", "incarnation": "d1"}
    outcome = bench.apply(commands.Enlist("w4", "h:2", "d2", bench.time_ms))
    assert len(outcome.records) == 1
    assert outcome.records[0].summary == "w4 came back with another disk"


def test_a_history_of_any_length_is_remembered_in_bounds(bench: Bench) -> None:
    model = bench.training()
    rows = tuple({"round": number, "loss": 0.5} for number in range(1, 3 * HISTORY_ROWS))
    parent, blobs = "", [Blob(f"{number:064x}", 1) for number in range(1, 6)]
    for number, blob in enumerate(blobs, 1):
        bench.done(commands.Checkpoint(model, number, parent, blob, rows, 1.0, bench.time_ms))
        parent = blob.digest
    history = bench.registry.models[model].history
    assert len(history) <= HISTORY_ROWS
    assert history[-1] == rows[-1]


def test_the_blobs_that_rows_name_are_alive(bench: Bench) -> None:
    bench.put("small", b"small")
    bench.put("large", b"large", INLINE_BYTES + 1)
    bench.done(bench.checkpoint(bench.training()))
    large = hashlib.sha256(b"large").hexdigest()
    assert {blob.digest for blob in bench.registry.live_blobs()} == {large, DATASET.digest, STATE.digest}


# --- exactly once


def test_a_command_that_comes_twice_is_applied_once(bench: Bench) -> None:
    put = commands.PutFile(bench.ticket, "f", "ab" * 32, 4, bench.time_ms)
    first, second = bench.apply(put), bench.apply(put)
    assert first.answer == second.answer
    assert (second.changes, second.records) == ((), ())
    assert len(bench.registry.files) == 1


def test_a_refusal_that_comes_twice_is_the_same(bench: Bench) -> None:
    remove = commands.RemoveFile(bench.ticket, 3, bench.time_ms)
    first = bench.apply(remove)
    bench.put()  # now there is a file 3
    assert 3 in bench.registry.files
    assert bench.apply(remove).answer == first.answer
    assert 3 in bench.registry.files


def test_an_unknown_session_is_refused_and_nothing_is_run(bench: Bench) -> None:
    put = commands.PutFile(Ticket(99, 1, 0), "f", "ab" * 32, 4, bench.time_ms)
    outcome = bench.apply(put)
    assert outcome.answer["failure"]["code"] == "session_expired"
    assert not bench.registry.files


# --- determinism


def test_time_never_falls(bench: Bench) -> None:
    bench.put()
    late = bench.done(commands.PutFile(bench.ticket, "late", "ab" * 32, 4, 5))
    assert late["file"]["created"] >= 1001.0


def test_entries_are_applied_in_their_order_only(bench: Bench) -> None:
    with pytest.raises(AssertionError):
        bench.registry.apply(7, bench.entries[0])


def test_a_record_is_short_however_long_the_name(bench: Bench) -> None:
    outcome = bench.apply(commands.PutFile(bench.ticket, "x" * 60_000, "ab" * 32, 4, bench.time_ms))
    assert len(outcome.records) == 1
    assert len(json.dumps(outcome.records[0].public())) < 3_000


def test_bytes_that_a_file_has_already_are_found_where_it_brought_them(bench: Bench) -> None:
    first = bench.put("one", b"same")
    digest = bench.registry.files[first].digest
    again = commands.PutFile(bench.ticket, "two", digest, 4, bench.time_ms, held=True)
    second = bench.done(again)["file"]["id"]
    example = commands.AddExample(bench.ticket, "ants", "red", digest, 4, bench.time_ms, held=True)
    third = bench.done(example)["index"]
    assert bench.registry.files[second].carrier == first
    assert bench.registry.datasets.example(third) == ExampleRow(third, "red", 4, digest, ANY, first)
    for file in (first, second):
        bench.done(commands.RemoveFile(bench.ticket, file, bench.time_ms))
        assert bench.registry.small_file(digest) == first


def test_bytes_that_nobody_has_any_more_must_come_again_under_the_same_ticket(bench: Bench) -> None:
    first = bench.put("one", b"same")
    digest, ticket = bench.registry.files[first].digest, bench.ticket
    bench.done(commands.RemoveFile(bench.ticket, first, bench.time_ms))
    held = commands.PutFile(ticket, "two", digest, 4, bench.time_ms, held=True)
    assert "removed meanwhile" in bench.refused(held)
    second = bench.done(replace(held, held=False), b"same")["file"]["id"]
    assert bench.registry.small_file(digest) == second
    assert bench.done(held)["file"]["id"] == second  # the first answer is given once more
    assert list(bench.registry.files) == [second]


def test_the_last_file_of_a_large_content_releases_it(bench: Bench) -> None:
    first, second = (bench.put(name, b"large", INLINE_BYTES + 1) for name in ("one", "two"))
    digest = bench.registry.files[first].digest
    assert bench.registry.small_file(digest) is None
    assert bench.apply(commands.RemoveFile(bench.ticket, first, bench.time_ms)).released == ()
    create = commands.CreateModel(bench.ticket, "m", SPEC, {"inputs": second}, bench.time_ms)
    model = bench.done(create)["model"]
    assert bench.apply(commands.RemoveFile(bench.ticket, second, bench.time_ms)).released == ()
    assert bench.registry.names(digest)  # the job still learns from it
    bench.done(commands.CancelModel(bench.ticket, model, bench.time_ms))
    third = bench.put("three", b"large", INLINE_BYTES + 1)
    assert bench.apply(commands.RemoveFile(bench.ticket, third, bench.time_ms)).released == (digest,)
    assert not bench.registry.names(digest)
