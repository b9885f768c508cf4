"""The load generator tells the truth: what was acknowledged, how fast, and what is missing afterwards."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from backend import load
from backend.load import LoadPlan, LoadRun, Mark, Stored, percentile
from backend.load_report import write_report
from shared.errors import Refused
from tests.unit.backend.conftest import Ran
from tests.unit.backend.fake_cluster import Asked, FakeCluster, HangUp, Reply

Minka = Callable[..., Ran]


def test_percentiles_are_nearest_ranks() -> None:
    hundred = [float(value) for value in range(1, 101)]
    assert [percentile(hundred, part) for part in (0.5, 0.9, 0.99, 1.0)] == [50, 90, 99, 100]
    assert percentile([7.0], 0.5) == percentile([7.0], 1.0) == 7
    assert percentile([], 0.5) == 0


def test_the_same_seed_makes_the_same_files() -> None:
    plan = LoadPlan(10, 2, 3, 90, 5)
    assert plan.content(4) == plan.content(4) != plan.content(5)
    assert all(3 <= len(plan.content(number)) <= 90 for number in range(100))


def test_a_load_reports_what_was_acknowledged(minka: Minka, cluster: FakeCluster, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    ran = minka("load", "--files", 60, "--clients", 6, "--max-bytes", 2_000, "--report", report, "--json")
    assert ran.code == 0, ran.err
    document = ran.document
    assert set(document) >= {
        *("files", "bytes", "seconds", "files_per_second", "latency_ms"),
        *("errors", "lost", "leader_changes", "digests_equal"),
    }
    assert set(document["latency_ms"]) == {"p50", "p90", "p99", "max"}
    assert (document["files"], document["errors"], document["lost"]) == (60, 0, 0)
    assert document["bytes"] == sum(row["bytes"] for row in cluster.files)
    assert len({row["name"] for row in cluster.files}) == 60
    page = report.read_text()
    assert page.count("<svg") == 2
    assert "60 of 60" in page
    assert "http" not in page


def test_a_load_goes_on_when_the_leader_dies(minka: Minka, cluster: FakeCluster) -> None:
    def die(asked: Asked) -> Reply | None:
        cluster.leader = 1
        asked.worker.kill()
        raise HangUp

    cluster.on("put", lambda asked: None, times=20)
    cluster.on("put", die)
    document = minka("load", "--files", 60, "--clients", 4, "--max-bytes", 600, "--json").document
    assert (document["files"], document["errors"], document["lost"]) == (60, 0, 0)
    assert document["duplicated"] == 0
    assert len(cluster.files) == 60


def test_a_file_that_is_there_twice_is_counted(minka: Minka, cluster: FakeCluster) -> None:
    def again(asked: Asked) -> Reply | None:
        cluster.files.append({**cluster.files[-1], "id": cluster.files[-1]["id"] + 1_000})
        return None

    cluster.on("files", again)
    ran = minka("load", "--files", 12, "--clients", 1, "--max-bytes", 600, "--json")
    assert (ran.code, ran.document["duplicated"], ran.document["lost"]) == (1, 1, 0)
    assert "1 file stored twice" in ran.err


def test_the_longest_pause_is_the_longest_without_an_acknowledgement() -> None:
    run = LoadRun([Stored(id, "", 1, 0.0, ended_s) for id, ended_s in enumerate((0.3, 2.0, 0.7))])
    assert run.longest_pause_s == pytest.approx(1.3)
    assert LoadRun().longest_pause_s == 0


def test_a_report_marks_what_happened_to_the_leader(tmp_path: Path) -> None:
    run = LoadRun(
        [Stored(1, "", 1, 0.0, 4.0)], [Mark(1.0, "w1 killed"), Mark(1.5, "<w2> leads")], seconds=4.0
    )
    write_report(tmp_path / "r.html", LoadPlan(1, 1, 1, 1, 1), run)
    page = (tmp_path / "r.html").read_text()
    assert page.count('<line class="mark"') == 2 + 3  # and the percentiles
    assert "w1 killed, 1.00 s" in page
    assert "&lt;w2&gt; leads, 1.50 s" in page


def test_what_is_lost_and_what_failed_is_counted(
    minka: Minka, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "SETTLE_S", 0.0)

    def refuse(asked: Asked) -> Reply | None:
        raise Refused("The disk is full.")

    def forget(asked: Asked) -> Reply | None:
        del cluster.files[0]
        return None

    cluster.on("put", refuse)
    cluster.on("files", forget)
    ran = minka("load", "--files", 12, "--clients", 3, "--max-bytes", 600, "--json")
    assert ran.code == 1
    assert (ran.document["files"], ran.document["errors"], ran.document["lost"]) == (11, 1, 1)
    assert ran.document["digests_equal"] is False
    assert "The disk is full" in ran.err


def test_only_a_local_leader_can_be_killed(minka: Minka) -> None:
    ran = minka("load", "--files", 5, "--kill-leader")
    assert ran.code == 1
    assert "local cluster" in ran.err
    assert minka("load", "--min-bytes", 5, "--max-bytes", 4).code == 1


def test_a_report_that_cannot_be_written_is_said(minka: Minka, tmp_path: Path) -> None:
    ran = minka("load", "--files", 2, "--report", tmp_path / "none" / "r.html")
    assert ran.code == 1
    assert f"none{os.sep}r.html cannot be written" in ran.err
