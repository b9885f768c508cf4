"""Every worker's monitor shows that worker's own applied state."""

import sys
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from backend.trace.causality import merge
from backend.trace.collect import collect
from backend.transfers import upload
from tests.live.cluster import LiveCluster, wait_for
from tests.live.network import NetworkedCluster, may_be_made


def test_monitors_of_all_workers_show_the_same_files_and_records(
    start_cluster: Callable[..., LiveCluster],
) -> None:
    cluster = start_cluster()
    with cluster.client(name="ana@lab") as client:
        row = upload(client, b"to be seen", "seen", lambda done, total: None)
    for id in cluster.ids:

        def look(id: str = id) -> bool:
            files = cluster.monitor(id, "/api/files")["files"]
            records = cluster.monitor(id, "/api/records?after=0")["records"]
            return [one["digest"] for one in files] == [row["digest"]] and [
                (one["client"], one["kind"]) for one in records
            ] == [("ana@lab", "put")]

        wait_for(f"{id} shows the file and its record", look)
        with urllib.request.urlopen(f"http://127.0.0.1:{cluster.monitors[id]}/healthz", timeout=5) as answer:
            assert answer.status == 200
        with urllib.request.urlopen(f"http://127.0.0.1:{cluster.monitors[id]}/", timeout=5) as answer:
            assert b"<html" in answer.read().lower()

    def states() -> set[str]:
        return {cluster.monitor(id, "/api/status")["state_digest"] for id in cluster.ids}

    wait_for("all show one state", lambda: len(states()) == 1)


def test_a_monitor_that_dies_comes_back_with_everything(start_cluster: Callable[..., LiveCluster]) -> None:
    cluster = start_cluster(size=1)
    with cluster.client() as client:
        upload(client, b"before", "before", lambda done, total: None)
    wait_for("the file", lambda: cluster.monitor("w1", "/api/files")["files"])
    cluster.kill("w1")
    cluster.start("w1")
    cluster.ready()

    def look() -> bool:
        try:
            return [row["name"] for row in cluster.monitor("w1", "/api/files")["files"]] == ["before"]
        except OSError:
            return False

    wait_for("the file again", look)


NEEDS = "network namespaces need Linux, root and `ip`"
networked = pytest.mark.skipif(sys.platform != "linux" or not may_be_made(), reason=NEEDS)


class OpenMonitors(NetworkedCluster):
    """Machines whose monitors listen on all their addresses, as operations.md says."""

    def command(self, id: str) -> list[str]:
        command = super().command(id)
        place = command.index("--monitor") + 1
        command[place] = f"0.0.0.0:{self.monitors[id]}"
        return command


@networked
def test_from_another_computer_each_monitor_opens_and_leads_to_the_others(
    start_cluster: Callable[..., Any],
) -> None:
    cluster: OpenMonitors = start_cluster(kind=OpenMonitors)
    expected = {id: f"{cluster.host(id)}:{cluster.monitors[id]}" for id in cluster.ids}
    for id in cluster.ids:

        def look(id: str = id) -> bool:
            status = cluster.monitor(id, "/api/status")
            return {row["id"]: row["monitor"] for row in (status, *status["peers"])} == expected

        wait_for(f"{id} tells where all monitors are", look)
        with urllib.request.urlopen(f"http://{expected[id]}/", timeout=10) as page:
            assert "script-src 'self'" in page.headers["Content-Security-Policy"]


@networked
def test_workers_on_several_machines_are_traced(start_cluster: Callable[..., Any]) -> None:
    cluster: NetworkedCluster = start_cluster(kind=NetworkedCluster)
    with cluster.client() as client:
        upload(client, b"entry", "entry", lambda done, total: None)
        tapes, problems = collect(client, lambda _: None)
    steps, clocks = merge(tapes)
    assert (set(tapes), problems) == (set(cluster.ids), [])
    assert all(clock.doubt_s is not None for clock in clocks.values())
    assert any(step.event.name == "append" and step.partner > place for place, step in enumerate(steps))
