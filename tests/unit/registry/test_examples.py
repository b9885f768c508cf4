"""Data sets that grow: what goes in, what is refused, and that a job learns from what there was when it was created."""

import json

import pytest

from shared.errors import Refused
from shared.frames import MAX_HEADER_BYTES
from shared.messages import INLINE_BYTES
from tests.unit.registry.test_registry import SPEC, Bench
from worker.registry import commands, examples
from worker.registry.commands import Blob
from worker.registry.examples import DataSetRow, DataSets, ExampleRow
from worker.registry.registry import Outcome, Registry

DIGEST = "ab" * 32


def add(bench: Bench, label: str, dataset: str = "ants", size_bytes: int = 5) -> Outcome:
    return bench.apply(
        commands.AddExample(bench.ticket, dataset, label, DIGEST, size_bytes, bench.time_ms), b"image"
    )


def test_an_example_is_a_record_of_its_own() -> None:
    bench = Bench()
    first, second = add(bench, "red"), add(bench, "black")
    assert first.answer["answer"] == {"record": 1, "index": 2}
    assert second.answer["answer"] == {"record": 2, "index": 3}
    assert len(second.records) == 1
    assert (second.records[0].kind, second.records[0].summary) == ("example", "ants: black (2 examples)")
    found = bench.registry.datasets.find("ants")
    assert (found["id"], found["examples"], found["labels"]) == (2, 2, {"red": 1, "black": 1})
    assert bench.registry.small_file(DIGEST) in (2, 3)
    with pytest.raises(Refused, match="no data set 'bees'"):
        bench.registry.datasets.find("bees")


def test_the_bytes_of_an_example_are_kept() -> None:
    bench = Bench()
    add(bench, "red", size_bytes=INLINE_BYTES + 1)
    assert list(bench.registry.live_blobs()) == [Blob(DIGEST, INLINE_BYTES + 1)]
    assert [row.id for row in bench.registry.live_files()] == [2]


@pytest.mark.parametrize("label", ["", " ", " red", "a/b", "..", ".hidden", "a\\b", "c:", "a\nb", "x" * 201])
def test_a_label_that_could_not_be_a_folder_is_refused(label: str) -> None:
    bench = Bench()
    assert "is no label" in add(bench, label).answer["failure"]["reason"]
    with pytest.raises(Refused):
        bench.registry.datasets.find("ants")


@pytest.mark.parametrize("dataset", ["", "  ", "n" * 1_025])
def test_a_data_set_needs_a_name(dataset: str) -> None:
    assert "name of a data set" in add(Bench(), "red", dataset).answer["failure"]["reason"]


def test_nothing_is_unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "EXAMPLES_LIMIT", 2)
    monkeypatch.setattr(examples, "DATASETS_LIMIT", 1)
    bench = Bench()
    add(bench, "red")
    add(bench, "red")
    assert "2 examples already" in add(bench, "red").answer["failure"]["reason"]
    assert "1 data sets already" in add(bench, "red", "bees").answer["failure"]["reason"]


def test_a_job_learns_from_what_there_was_when_it_was_created() -> None:
    bench = Bench()
    for label in ("red", "black"):
        add(bench, label)
    sources = {"inputs": 2, "outputs": 2}
    model = bench.done(commands.CreateModel(bench.ticket, "m", SPEC, sources, bench.time_ms))["model"]
    add(bench, "green")
    row = bench.registry.models[model].sources["inputs"]
    assert isinstance(row, DataSetRow)
    assert [each.label for each in bench.registry.datasets.first(row)] == ["red", "black"]
    now = bench.registry.datasets.by_id(2)
    assert now is not None
    assert (now.examples, now.digest != row.digest) == (3, True)


def test_the_digest_tells_apart_what_is_not_the_same() -> None:
    def digest(*labels: str) -> str:
        sets = DataSets()
        for number, label in enumerate(labels, 1):
            row = sets.add("ants", ExampleRow(number, label, 5, DIGEST, 0))
        return row.digest

    assert digest("a", "b") == digest("a", "b")
    assert len({digest("a", "b"), digest("b", "a"), digest("a"), digest("a", "b", "b")}) == 4


def test_data_sets_are_listed_page_by_page() -> None:
    bench = Bench()
    for label, dataset in (("red", "ants"), ("black", "ants"), ("big", "bees"), ("red", "ants")):
        add(bench, label, dataset)
    listed = list(bench.registry.datasets.after(0, 10))
    assert [(row["name"], row["examples"], row["classes"]) for row in listed] == [
        ("ants", 3, 2),
        ("bees", 1, 1),
    ]
    assert [row["name"] for row in bench.registry.datasets.after(0, 1)] == ["ants"]
    assert [row["name"] for row in bench.registry.datasets.after(listed[0]["id"], 10)] == ["bees"]


def test_of_many_labels_as_many_are_counted_as_fit_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "LABELS_TOLD", 2)
    bench = Bench()
    for label in ("a", "b", "c", "a"):
        add(bench, label)
    found = bench.registry.datasets.find("ants")
    assert (found["labels"], found["classes"]) == ({"a": 2, "b": 1}, 3)
    longest = {"\U0001f9f6" * examples.LABEL_CHARACTERS: examples.EXAMPLES_LIMIT}
    assert 1_000 * len(json.dumps(longest, ensure_ascii=False).encode()) < MAX_HEADER_BYTES


def test_the_newest_examples_come_first_of_all_or_of_one_label() -> None:
    bench = Bench()
    for label in ("red", "black", "red", "red"):
        add(bench, label)
    sets = bench.registry.datasets

    def labels(before: int | None, label: str | None, count: int) -> list[tuple[int, str]]:
        return [(row.id, row.label) for row in sets.newest("ants", before, label, count)]

    assert labels(None, None, 3) == [(5, "red"), (4, "red"), (3, "black")]
    assert labels(3, None, 3) == [(2, "red")]
    assert labels(None, "red", 2) == [(5, "red"), (4, "red")]
    assert labels(4, "red", 2) == [(2, "red")]
    assert labels(None, "green", 2) == []
    with pytest.raises(Refused, match="no data set 'bees'"):
        sets.newest("bees", None, None, 1)


def test_examples_of_several_data_sets_are_paged_in_the_order_of_the_log() -> None:
    bench = Bench()
    for number in range(6):
        add(bench, "red", ("ants", "bees")[number % 2])
    copy = Registry()
    copy.load(bench.registry.dump())
    for registry in (bench.registry, copy):
        assert registry.datasets.ids_after(0, 4) == [2, 3, 4, 5]
        assert registry.datasets.ids_after(5, 4) == [6, 7]
        assert registry.datasets.example(3) == bench.registry.datasets.example(3)
        assert registry.datasets.example(1) is None
