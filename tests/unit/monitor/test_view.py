"""The monitor's copy of its worker: notices in, answers and deltas out."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from shared.errors import ProtocolViolation
from worker.monitor import metrics
from worker.monitor.history import ROUNDS_KEPT, SAMPLES_KEPT, Rounds
from worker.monitor.view import DELTA_ROWS, LOG_KEPT, RECORDS_KEPT, SEARCHED_ROWS, View


def row(id: str, index: int = 0, digest: str = "", **more: Any) -> dict[str, Any]:
    return {"id": id, "role": "follower", "term": 1, "applied_index": index, "state_digest": digest, **more}


def status(own: dict[str, Any], *peers: dict[str, Any]) -> dict[str, Any]:
    return {"about": "status", "row": own, "peers": list(peers)}


def change(set: str, id: int | str, value: dict[str, Any] | None, index: int = 1) -> dict[str, Any]:
    return {"about": "changes", "index": index, "changes": [{"set": set, "id": id, "value": value}]}


def records(*numbers: int) -> dict[str, Any]:
    return {"about": "records", "records": [{"record": number, "kind": "put"} for number in numbers]}


def log(*entries: tuple[int, int]) -> dict[str, Any]:
    return {"about": "applied", "rows": [[index, term, "noop", 0, ""] for index, term in entries]}


def test_the_status_is_the_own_row_and_the_peers_with_their_verdict() -> None:
    view = View()
    view.take(status(row("a", 7, "seven")))
    peers = (row("a", 8, "eight"), row("b", 7, "seven"), row("c", 7, "other"), row("d", 6, "six"), row("e"))
    view.take(status(row("a", 8, "eight", role="leader"), *peers))
    answer = view.status()
    assert (answer["id"], answer["leader"], answer["version"]) == ("a", "a", 2)
    verdicts = {peer["id"]: (peer["agrees"], peer["compared_index"]) for peer in answer["peers"]}
    assert verdicts == {"b": (True, 7), "c": (False, 7), "d": (None, None), "e": (None, None)}


def test_a_peer_is_compared_at_the_last_index_that_both_showed() -> None:
    view = View()
    verdicts = []
    for ours, theirs in (((5, "5"), (9, "9")), ((9, "9"), (12, "12")), ((12, "other"), (13, "13"))):
        view.take(status(row("a", *ours), row("b", *theirs)))
        verdicts.append(tuple(view.status()["peers"][0][name] for name in ("agrees", "compared_index")))
    assert verdicts == [(None, None), (True, 9), (False, 12)]


def test_the_leader_is_the_one_of_the_highest_term_or_whom_the_node_names() -> None:
    view = View()
    assert view.leader() is None
    view.take(status(row("a"), row("b", role="leader", term=3), row("c", role="leader", term=4)))
    assert view.leader() == "c"
    view.take(status(row("a", leader=None), row("c", role="leader", term=4)))
    assert view.leader() is None


def test_files_come_change_and_go() -> None:
    view = View()
    view.take(change("files", 3, {"id": 3, "name": "a"}))
    view.take(change("files", 4, {"id": 4, "name": "b"}))
    view.take(change("files", 3, None, index=9))
    page = view.files_page()
    assert [file["name"] for file in page["files"]] == ["b"]
    assert (page["total"], page["index"], page["version"]) == (1, 9, 3)
    assert [file["id"] for file in view.files_page(skip=1)["files"]] == []


def test_records_are_read_after_a_number_or_from_the_end() -> None:
    view = View()
    view.take(records(*range(1, 21)))
    numbers = [record["record"] for record in view.records_page(after=5, limit=3)["records"]]
    assert numbers == [6, 7, 8]
    assert [record["record"] for record in view.records_page(tail=2)["records"]] == [19, 20]
    assert (view.records_page()["first"], view.records_page()["total"]) == (1, 20)


def test_old_records_and_entries_are_forgotten_and_the_page_says_from_where() -> None:
    view = View()
    view.take(records(*range(1, RECORDS_KEPT + 6)))
    view.take(log(*((index, 1) for index in range(1, LOG_KEPT + 3))))
    assert view.records_page()["first"] == 6
    assert view.log_page()["first"] == 3


def test_entries_that_the_log_overwrote_are_replaced() -> None:
    view = View()
    view.take(log((1, 1), (2, 1), (3, 1)))
    view.take(log((2, 2)))
    assert [(entry["index"], entry["term"]) for entry in view.log_page()["entries"]] == [(1, 1), (2, 2)]


def test_deltas_tell_each_change_once() -> None:
    view = View()
    view.take(status(row("a")))
    view.take(change("files", 1, {"id": 1}))
    view.take(change("models", "m2", {"id": "m2", "status": "queued"}))
    view.take(change("models", "m2", {"id": "m2", "status": "done"}))
    view.take(change("files", 1, None))
    view.take(records(1, 2))
    deltas = dict(view.take_deltas())
    assert list(deltas) == ["status", "files", "models", "records"]
    assert (deltas["files"]["set"], deltas["files"]["removed"]) == ([], ["1"])
    assert deltas["models"]["set"] == [{"id": "m2", "status": "done", "changed": 1}]
    assert view.take_deltas() == []


def test_a_flood_of_changes_asks_the_page_to_read_again() -> None:
    view = View()
    for number in range(DELTA_ROWS + 1):
        view.take(change("files", number, {"id": number}))
        view.take(records(number + 1))
    deltas = dict(view.take_deltas())
    assert deltas["files"]["again"]
    assert deltas["files"]["set"] == []
    assert len(deltas["records"]["records"]) == DELTA_ROWS


def test_after_a_reset_only_what_is_told_anew_is_there() -> None:
    view = View()
    view.take(change("files", 1, {"id": 1}))
    view.take(change("files", 2, {"id": 2}))
    view.take_deltas()
    view.take({"about": "reset"})
    view.take(change("files", 2, {"id": 2}))
    assert view.files_page()["files"] == [{"id": 2, "changed": 1}]
    assert dict(view.take_deltas())["files"]["again"]
    view.take(change("files", 3, {"id": 3}))
    assert dict(view.take_deltas())["files"]["set"] == [{"id": 3, "changed": 1}]


@pytest.mark.parametrize(
    "notice",
    [
        {},
        {"about": "weather"},
        {"about": "status", "row": {}},
        {"about": "changes", "index": 1, "changes": [{"set": "keys", "id": 1, "value": {}}]},
        {"about": "records", "records": [{}]},
        {"about": "applied", "rows": 7},
        {"about": "applied", "rows": []},
        {"about": "applied", "rows": [[1, 1, "noop", 0]]},
        {"about": "applied", "rows": [[1, 1, "put_file", 9, "a (1 bytes)", 1, 1000, "c"]]},
        {"about": "applied", "rows": [[1, 1, "put_file", 9, "a (1 bytes)", 1, 1000, "c", "put", "a"]]},
    ],
)
def test_a_notice_without_sense_is_a_violation(notice: dict[str, Any]) -> None:
    with pytest.raises(ProtocolViolation):
        View().take(notice)


@given(st.lists(st.tuples(st.integers(1, 30), st.booleans()), max_size=60), st.integers(1, 7))
def test_deltas_laid_over_an_older_answer_give_the_newer_one(
    steps: list[tuple[int, bool]], every: int
) -> None:
    view, page = View(), {}
    for number, (id, present) in enumerate(steps):
        view.take(change("files", id, {"id": id, "number": number} if present else None))
        if number % every == 0:
            for _, delta in view.take_deltas():
                page |= {file["id"]: file for file in delta["set"]}
                for removed in delta["removed"]:
                    page.pop(int(removed), None)
            assert page == {file["id"]: file for file in view.files_page()["files"]}


def test_metrics_are_prometheus_text() -> None:
    view = View()
    view.take(
        status(
            row('a"\\', 7, role="leader", commit_index=8, cores=2),
            row("b", reachable=True),
            row("c", reachable=False),
        )
    )
    view.take(change("models", "m1", {"id": "m1", "status": "done"}))
    vitals = {
        "transfers": [],
        "peers": {"b": {"round_trip_s": 0.002, "heard_s": 0.1}, "c": {"round_trip_s": None}},
    }
    view.take({"about": "vitals", "vitals": vitals})
    text = metrics.render(view, 0.25, 3)
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["minka_records"].type == "counter"
    assert [sample.value for sample in families["minka_peer_round_trip_seconds"].samples] == [0.002]
    assert families["minka_transfers"].samples[0].value == 0
    assert families["minka_role"].samples[0].labels == {"worker": 'a"\\', "role": "leader"}
    assert all(family.documentation and family.type != "unknown" for family in families.values())
    assert 'minka_role{worker="a\\"\\\\",role="leader"} 1\n' in text
    assert 'minka_peer_reachable{worker="a\\"\\\\",peer="c"} 0\n' in text
    assert 'minka_models{worker="a\\"\\\\",status="done"} 1\n' in text
    assert "# TYPE minka_records_total counter\n" in text
    assert text.endswith("\n")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(float(line.rsplit(" ", 1)[1]) >= 0 for line in lines)


def test_notices_are_events_and_a_page() -> None:
    view = View()
    rows = [{"notice": number, "time": 1.0, "kind": "damage", "text": "a blob"} for number in (1, 2)]
    view.take({"about": "notices", "notices": rows})
    assert [name for name, _ in view.take_deltas()] == ["notices"]
    view.take({"about": "notices", "notices": rows})  # told again to a monitor that has them
    assert view.notices_page()["notices"] == rows
    assert view.notices_page(after=1)["notices"] == rows[1:]


def test_rounds_are_kept_by_number_and_told_as_they_come() -> None:
    view = View()
    view.take(change("models", "m", {"id": "m", "status": "training"}))
    view.take(
        {"about": "rounds", "model": "m", "rounds": [{"round": 1, "loss": 2.0}, {"round": 2, "loss": 1.0}]}
    )
    view.take({"about": "rounds", "model": "m", "rounds": [{"round": 2, "loss": 1.0, "test_accuracy": 0.9}]})
    page = view.rounds_page("m")
    assert page["model"]["status"] == "training"
    assert [row["round"] for row in page["rounds"]] == [1, 2]
    assert page["rounds"][1]["test_accuracy"] == 0.9
    assert view.rounds_page("none") == {"model": None, "rounds": []}
    assert [name for name, _ in view.take_deltas()].count("rounds") == 2


def test_rounds_stay_bounded_and_the_newest_stays() -> None:
    rounds = Rounds()
    for number in range(1, 3 * ROUNDS_KEPT):
        rounds.take([{"round": number}])
    kept = [row["round"] for row in rounds.rows()]
    assert len(kept) <= ROUNDS_KEPT
    assert kept[-1] == 3 * ROUNDS_KEPT - 1
    assert kept == sorted(kept)


def test_samples_turn_counts_into_rates() -> None:
    view = View()
    view.take(status(row("a", commit_index=100)))
    view.sample(10.0, 1_000.0, {"cores": [0.5]})
    view.take(status(row("a", commit_index=150)))
    view.sample(12.0, 1_002.0, {"cores": [0.25]})
    first, second = view.vitals_page()["samples"]
    assert first["rates"]["commits"] is None
    assert second["rates"]["commits"] == 25.0
    assert (second["time"], second["cores"]) == (1_002.0, [0.25])
    for number in range(2 * SAMPLES_KEPT):
        view.sample(20.0 + number, 0.0, {})
    assert len(view.vitals_page()["samples"]) == SAMPLES_KEPT


def test_only_the_newest_vitals_are_told() -> None:
    view = View()
    view.take({"about": "vitals", "vitals": {"jobs": [1]}})
    view.take({"about": "vitals", "vitals": {"jobs": []}})
    assert view.take_deltas() == [("vitals", {"jobs": []})]


def test_files_are_searched_newest_first_a_bounded_number_at_a_time() -> None:
    view = View()
    for number in range(SEARCHED_ROWS + 10):
        view.take(change("files", number, {"id": number, "name": f"file {number % 7}", "digest": "ab"}))
    page = view.found_files([], 0, 3)
    assert [file["id"] for file in page["files"]] == [SEARCHED_ROWS + 9, SEARCHED_ROWS + 8, SEARCHED_ROWS + 7]
    assert page["looked"] == 3
    found, skip, asked = [], 0, 0
    while skip < page["total"]:
        page = view.found_files(["file", "3"], skip, 1_000)
        found += [file["id"] for file in page["files"]]
        skip, asked = page["looked"], asked + 1
    assert found == [n for n in range(SEARCHED_ROWS + 9, -1, -1) if "3" in f"{n} file {n % 7}"]
    nothing = view.found_files(["needle"], 0, 10)
    assert (nothing["files"], nothing["looked"]) == ([], SEARCHED_ROWS)
