"""The view in the text format of Prometheus, version 0.0.4."""

from collections import Counter
from collections.abc import Iterable

from worker.monitor.view import View

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
ROLES = ("leader", "follower", "candidate", "pre-candidate", "learner")

Sample = tuple[dict[str, str], float]


def render(view: View, status_age_s: float | None, listeners: int) -> str:
    """Every metric, as /metrics answers it; `status_age_s` None: the node has not spoken yet."""
    row, worker = view.row, {"worker": str(view.row.get("id", ""))}
    statuses = Counter(str(model.get("status")) for model in view.models.values())
    lines: list[str] = []

    def metric(name: str, kind: str, meaning: str, samples: Iterable[Sample]) -> None:
        found = [f"{name}{_labels(worker | labels)} {value:.10g}" for labels, value in samples]
        if found:
            lines.extend((f"# HELP {name} {meaning}", f"# TYPE {name} {kind}", *found))

    def number(name: str, kind: str, meaning: str, value: object) -> None:
        metric(name, kind, meaning, [({}, float(value))] if isinstance(value, int | float) else [])

    metric(
        "minka_role",
        "gauge",
        "1 for the Raft role that this worker has.",
        [({"role": role}, float(row.get("role") == role)) for role in ROLES] if row else [],
    )
    number("minka_has_leader", "gauge", "1 while this worker knows a leader.", int(view.leader() is not None))
    number("minka_term", "gauge", "Current Raft term.", row.get("term"))
    number("minka_commit_index", "gauge", "Highest log index known to be committed.", row.get("commit_index"))
    number("minka_applied_index", "gauge", "Highest log index applied here.", row.get("applied_index"))
    number("minka_files", "gauge", "Files in this worker's applied state.", len(view.files))
    metric(
        "minka_models",
        "gauge",
        "Models in this worker's applied state.",
        [({"status": status}, count) for status, count in sorted(statuses.items())],
    )
    number("minka_records_total", "counter", "Records applied by this worker.", view.records.last)
    number("minka_cores", "gauge", "Cores that this worker trains on.", row.get("cores"))
    for name, field, meaning in (
        ("minka_peer_reachable", "reachable", "1 while this worker reaches the peer."),
        ("minka_peer_commit_index", "commit_index", "The peer's commit index as last heard."),
        ("minka_peer_applied_index", "applied_index", "The peer's applied index as last heard."),
    ):
        samples = [({"peer": str(peer["id"])}, peer.get(field)) for peer in view.peers]
        metric(
            name, "gauge", meaning, [(labels, float(value)) for labels, value in samples if value is not None]
        )
    peers = view.vitals.get("peers", {})
    for name, field, meaning in (
        ("minka_peer_round_trip_seconds", "round_trip_s", "The last round trip to the peer."),
        ("minka_peer_heard_seconds", "heard_s", "Time since the peer last told about itself."),
    ):
        told = [(peer, row.get(field)) for peer, row in peers.items()]
        metric(name, "gauge", meaning, [({"peer": peer}, value) for peer, value in told if value is not None])
    transfers = len(view.vitals["transfers"]) if "transfers" in view.vitals else None
    number("minka_transfers", "gauge", "Large files on their way to this worker.", transfers)
    number("minka_monitor_status_age_seconds", "gauge", "Time since the node last spoke.", status_age_s)
    number("minka_monitor_listeners", "gauge", "Open event streams.", listeners)
    return "\n".join(lines) + "\n"


def _labels(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items()) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
