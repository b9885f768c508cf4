"""What workers remember of consensus is asked for, put into order, and tells of an election."""

import json
from collections.abc import Callable
from pathlib import Path

from backend.cli import main
from backend.trace.causality import merge
from backend.trace.collect import collect
from backend.transfers import upload
from tests.live.cluster import LiveCluster, wait_for


def test_a_trace_tells_of_an_election_and_of_a_commit(
    start_cluster: Callable[..., LiveCluster], tmp_path: Path, capsys: object
) -> None:
    cluster = start_cluster()
    first = cluster.leader()
    cluster.kill(first)
    with cluster.client() as client:
        row = upload(client, b"after the election", "late", lambda done, total: None)
        second = wait_for("another leader", cluster.leader)
        index = row["index"]
        tapes, problems = collect(client, lambda _: None)
    assert len(problems) == 1, problems
    assert set(tapes) == set(cluster.ids) - {first}
    steps, clocks = merge(tapes)
    assert all(clock.doubt_s is not None and clock.doubt_s < 1 for clock in clocks.values())
    said = [(step.event.worker, step.event.what, step.event.name) for step in steps]
    assert (second, "role", "leader") in said
    assert (second, "heard", "vote_reply") in said
    assert any(
        step.event.name == "append"
        and step.event.fields["entries"]
        and step.event.fields["previous_index"]
        < index
        <= step.event.fields["previous_index"] + step.event.fields["entries"]
        for step in steps
    )
    applied = [
        step.event.fields["index"]
        for step in steps
        if step.event.what == "applied" and step.event.worker == second
    ]
    assert max(applied) >= index
    between = [step for step in steps if step.event.what == "heard" and step.event.peer != first]
    matched = [step for step in between if step.partner >= 0]
    assert len(matched) >= 0.95 * len(between)


def test_a_cluster_without_a_leader_is_traced_too(
    start_cluster: Callable[..., LiveCluster], tmp_path: Path
) -> None:
    cluster = start_cluster()
    left, *others = cluster.ids
    for id in others:
        cluster.kill(id)
    page = tmp_path / "trace.html"
    options = ["--cluster", cluster.address, "--keys", str(cluster.directory / "client.keys")]
    assert main(["trace", "-o", str(page), "--json", *options]) == 0
    content = page.read_text(encoding="utf-8")
    begun = content.index('id="data">') + len('id="data">')
    told = json.loads(content[begun : content.index("</script>", begun)])
    assert [worker["told"] for worker in told["workers"]] == [id == left for id in cluster.ids]
    assert any(step[2] == "r" for step in told["steps"])
