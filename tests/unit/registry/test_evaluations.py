"""What somebody has found a model to be worth is kept with it, and is a record."""

from dataclasses import replace

import pytest

from shared.evaluations import CONFUSION_LABELS, WORST_KEPT, Evaluation, WrongAnswer
from tests.unit.registry.test_aliases import trained
from tests.unit.registry.test_registry import Bench
from worker.registry import commands
from worker.registry.registry import Registry

WRONG = WrongAnswer(1, "b", "a", 0.75)
FOUND = Evaluation("test.npz", 4, 0.75, ("a", "b"), ((2, 0), (1, 1)), (WRONG,))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_last_evaluation_of_a_model_is_kept_with_it(bench: Bench) -> None:
    model = trained(bench)
    other = commands.NoteEvaluation(bench.ticket, model, Evaluation("first.npz", 9, 0.5), bench.time_ms)
    bench.done(other)
    time_ms = bench.time_ms
    outcome = bench.apply(commands.NoteEvaluation(bench.ticket, "digits@1", FOUND, time_ms))
    index = bench.registry.applied_index
    assert outcome.answer == {"answer": {"model": model, "index": index}}
    row = bench.registry.models[model]
    kept = {
        "inputs": "test.npz",
        "images": 4,
        "accuracy": 0.75,
        "labels": ["a", "b"],
        "confusion": [[2, 0], [1, 1]],
        "worst": [{"image": 1, "label": "b", "said": "a", "probability": 0.75}],
        "client": "ana@lab",
        "time": time_ms / 1000,
        "index": index,
    }
    assert row.evaluation == kept
    (change,) = outcome.changes
    assert change.value is not None
    assert change.value["evaluation"] == kept
    (record,) = outcome.records
    assert (record.kind, record.summary) == ("evaluate", f"{model}: 75.00% of 4 right (test.npz)")
    copy = Registry()
    copy.load(bench.registry.dump())
    assert copy.models[model].evaluation == kept


def test_an_evaluation_that_makes_no_sense_is_refused(bench: Bench) -> None:
    model = trained(bench)
    many = tuple(map(str, range(CONFUSION_LABELS + 1)))
    for found, why in (
        (replace(FOUND, labels=many, confusion=((0,) * len(many),) * len(many)), "at most"),
        (replace(FOUND, worst=(WRONG,) * (WORST_KEPT + 1)), "at most"),
        (replace(FOUND, labels=("a", "b" * 65)), "characters"),
        (replace(FOUND, inputs="i" * 1_025), "characters"),
        (replace(FOUND, worst=(replace(WRONG, said="s" * 65),)), "characters"),
        (replace(FOUND, accuracy=1.5), "a part of them"),
        (replace(FOUND, images=0), "at least one"),
        (replace(FOUND, labels=("a",)), "row and a column"),
        (replace(FOUND, confusion=((2, 0), (1,))), "row and a column"),
        (replace(FOUND, images=5), "add up"),
    ):
        assert why in bench.refused(commands.NoteEvaluation(bench.ticket, model, found, bench.time_ms))
    assert bench.registry.models[model].evaluation is None


def test_only_a_trained_model_can_have_been_evaluated(bench: Bench) -> None:
    file = bench.put()
    sources = {"inputs": file, "outputs": file}
    spec = {"arch": "mlp", "epochs": 1}
    model = bench.done(commands.CreateModel(bench.ticket, "", spec, sources, bench.time_ms))["model"]
    for wanted, why in ((model, "no weights"), ("m999", "no model")):
        assert why in bench.refused(commands.NoteEvaluation(bench.ticket, wanted, FOUND, bench.time_ms))
