"""Every worker's monitor shows that worker's own applied state."""

import urllib.request
from collections.abc import Callable

from backend.transfers import upload
from tests.live.cluster import LiveCluster, wait_for


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
    digests = {cluster.monitor(id, "/api/status")["state_digest"] for id in cluster.ids}
    assert len(digests) == 1


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
