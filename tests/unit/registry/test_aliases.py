"""Versions of a name, and aliases that are promoted and rolled back."""

import pytest

from shared.errors import Refused
from tests.unit.registry.test_registry import Bench
from worker.registry import commands


@pytest.fixture
def bench() -> Bench:
    return Bench()


def trained(bench: Bench, name: str = "digits") -> str:
    file = bench.put()
    spec = {"arch": "mlp", "epochs": 1}
    sources = {"inputs": file, "outputs": file}
    model = bench.done(commands.CreateModel(bench.ticket, name, spec, sources, bench.time_ms))["model"]
    bench.done(bench.finish(model))
    return str(model)


def promote(bench: Bench, model: str, alias: str = "best") -> object:
    return bench.done(commands.PromoteModel(bench.ticket, model, alias, bench.time_ms))


def test_versions_of_a_name_are_counted_in_the_order_of_the_log(bench: Bench) -> None:
    first, other, second = trained(bench), trained(bench, "letters"), trained(bench)
    assert [bench.registry.find_model(f"digits@{number}").id for number in (1, 2)] == [first, second]
    assert bench.registry.find_model("letters@1").id == other
    for unknown in (
        "digits@3",
        "digits@0",
        "digits@best",
        "@1",
        "digits@",
        "digits",
        "digits@²",
        "digits@-1",
    ):
        with pytest.raises(Refused, match="no model"):
            bench.registry.find_model(unknown)


def test_an_alias_moves_and_is_rolled_back(bench: Bench) -> None:
    first, second = trained(bench), trained(bench)
    assert promote(bench, first) == {"alias": "digits@best", "model": first, "before": None}
    assert promote(bench, "digits@2") == {"alias": "digits@best", "model": second, "before": first}
    assert bench.registry.find_model("digits@best").id == second
    aliases = {model: row.summary()["aliases"] for model, row in bench.registry.models.items()}
    assert aliases == {first: [], second: ["digits@best"]}
    outcome = bench.apply(commands.RollBackAlias(bench.ticket, "digits@best", bench.time_ms))
    assert outcome.answer["answer"] == {"alias": "digits@best", "model": first, "before": second}
    assert bench.registry.find_model("digits@best").id == first
    assert {change.id for change in outcome.changes} == {first, second}
    assert [record.summary for record in outcome.records] == [f"digits@best is {first}, was {second}"]
    refused = bench.refused(commands.RollBackAlias(bench.ticket, "digits@best", bench.time_ms))
    assert "no other model before" in refused


def test_what_cannot_be_promoted_is_refused(bench: Bench) -> None:
    model, nameless = trained(bench), trained(bench, "")
    promote(bench, model)
    file = bench.put()
    spec = {"arch": "mlp", "epochs": 1}
    untrained = bench.done(
        commands.CreateModel(bench.ticket, "digits", spec, {"inputs": file}, bench.time_ms)
    )["model"]
    for wanted, alias, why in (
        (model, "best", "already"),
        (model, "7", "cannot be an alias"),
        (model, "", "cannot be an alias"),
        (model, "a b", "cannot be an alias"),
        (model, "x" * 65, "cannot be an alias"),
        (nameless, "best", "no name"),
        (untrained, "best", "no weights"),
        ("m999", "best", "no model"),
    ):
        assert why in bench.refused(commands.PromoteModel(bench.ticket, wanted, alias, bench.time_ms))
    assert "no alias" in bench.refused(commands.RollBackAlias(bench.ticket, "digits@worst", bench.time_ms))
