"""`minka promote`: an alias is pointed to a model, or back."""

from collections.abc import Callable
from typing import Any

from tests.unit.backend.conftest import Ran, failed
from tests.unit.backend.fake_cluster import Asked, FakeCluster, Reply

Minka = Callable[..., Ran]


def test_an_alias_is_promoted_and_rolled_back(minka: Minka, cluster: FakeCluster) -> None:
    def point(asked: Asked) -> Reply | None:
        request: Any = asked.request
        alias = request.alias if "@" in request.alias else f"digits@{request.alias}"
        return {"alias": alias, "model": "m9", "before": None if "@" not in request.alias else "m5"}, b""

    cluster.on("promote", point)
    cluster.on("roll_back", point)
    ran = minka("promote", "digits@2", "best", "--json")
    assert ran.document == {"alias": "digits@best", "model": "m9", "before": None}
    (asked,) = cluster.requests("promote")
    assert (asked.model, asked.alias) == ("digits@2", "best")
    assert "digits@best is m9, was m5" in minka("promote", "--back", "digits@best").out
    assert [request.alias for request in cluster.requests("roll_back")] == ["digits@best"]


def test_what_to_promote_must_be_clear(minka: Minka) -> None:
    failed(minka("promote", "m9"), 1, "not clear")
    failed(minka("promote", "--back", "digits@best", "best"), 1, "not clear")
