"""Whatever the entries are: the same ones make the same state, at once, again, and from a dump."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.messages import Ticket
from worker.registry import commands
from worker.registry.commands import Blob, Command
from worker.registry.registry import Registry

SPEC = {"arch": "mlp", "epochs": 2}
NUMBERS = st.integers(0, 12)
BLOBS = st.builds(lambda number: Blob(f"{number:064x}", 70_000 + number), st.integers(0, 4))
TICKETS = st.builds(Ticket, st.integers(1, 3), NUMBERS, st.integers(0, 4))
MODELS = st.builds(lambda number: f"m{number}", NUMBERS)
TIMES = st.integers(0, 3 * 24 * 3600 * 1000)
HISTORY = st.lists(st.fixed_dictionaries({"round": NUMBERS, "loss": st.just(0.5)}), max_size=3).map(tuple)
COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(commands.OpenSession, st.text(max_size=5), TIMES),
    st.builds(
        lambda ticket, name, blob, time: commands.PutFile(ticket, name, blob.digest, blob.size_bytes, time),
        *(TICKETS, st.sampled_from("abc"), BLOBS, TIMES),
    ),
    st.builds(commands.RemoveFile, TICKETS, NUMBERS, TIMES),
    st.builds(
        lambda ticket, one, two, time: commands.CreateModel(
            ticket, "n", SPEC, {"inputs": one, "outputs": two}, time
        ),
        *(TICKETS, NUMBERS, NUMBERS, TIMES),
    ),
    st.builds(commands.DatasetReady, MODELS, BLOBS, st.just(SPEC), st.just({}), NUMBERS, TIMES),
    st.builds(
        commands.Checkpoint,
        *(MODELS, NUMBERS, st.just("") | BLOBS.map(lambda blob: blob.digest), BLOBS, HISTORY),
        *(st.just(1.0), TIMES),
    ),
    st.builds(
        commands.FinishModel,
        *(MODELS, st.just("") | BLOBS.map(lambda blob: blob.digest), BLOBS, HISTORY),
        *(st.just(1.0), st.just(1.0), st.none() | st.just(0.5), st.just({}), TIMES),
    ),
    st.builds(commands.FailModel, MODELS, st.text(max_size=5), st.just(""), TIMES),
    st.builds(commands.CancelModel, TICKETS, MODELS, TIMES),
    st.builds(commands.Enlist, st.sampled_from(["w1", "w2"]), st.just("host:1"), st.just("d"), TIMES),
    st.builds(commands.Retire, TICKETS, st.sampled_from(["w1", "w2"]), TIMES),
)


def replay(entries: list[bytes]) -> Registry:
    registry = Registry()
    for index, data in enumerate(entries, 1):
        registry.apply(index, data)
    return registry


@settings(max_examples=60)
@given(st.lists(COMMANDS, min_size=5, max_size=40))
def test_the_same_entries_make_the_same_state(story: list[Command]) -> None:
    entries = [commands.encode(commands.OpenSession("c", 0)) for _ in range(3)]
    entries += [commands.encode(command) for command in story]
    first, second = replay(entries), replay(entries)
    assert first.state_digest == second.state_digest
    assert first.files == second.files
    assert first.models == second.models


@settings(max_examples=60)
@given(st.lists(COMMANDS, min_size=5, max_size=30), st.lists(COMMANDS, max_size=10))
def test_a_state_that_was_dumped_and_loaded_goes_on_as_the_first(
    story: list[Command], rest: list[Command]
) -> None:
    entries = [commands.encode(commands.OpenSession("c", 0)) for _ in range(3)]
    entries += [commands.encode(command) for command in story]
    first, second = replay(entries), Registry()
    second.load(json.loads(json.dumps(list(first.dump()))))
    assert list(second.dump()) == list(first.dump())
    for index, command in enumerate(rest, len(entries) + 1):
        data = commands.encode(command)
        assert first.apply(index, data) == second.apply(index, data)
    assert first.state_digest == second.state_digest


@settings(max_examples=60)
@given(st.lists(COMMANDS, min_size=5, max_size=30), st.data())
def test_a_ticket_that_comes_again_changes_no_row(story: list[Command], data: st.DataObject) -> None:
    entries = [commands.encode(commands.OpenSession("c", 0)) for _ in range(3)]
    entries += [commands.encode(command) for command in story]
    registry = replay(entries)
    again = data.draw(st.sampled_from(story))
    before = (dict(registry.files), registry.record_count)
    outcome = registry.apply(len(entries) + 1, commands.encode(again))
    if hasattr(again, "ticket"):
        assert outcome.changes == ()
        assert (registry.files, registry.record_count) == before
