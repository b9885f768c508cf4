"""What this worker tells of itself: its row to its peers and to `minka status`, and all that its monitor shows.

The row is small and goes to every peer. What only people look at (timers, round trips, transfers, shards) goes to the
monitor alone, but for what a leader's jobs are at, which its row carries so that every monitor can show it.
"""

import os
from typing import TYPE_CHECKING, Any

from shared import fields
from shared.errors import Refused
from shared.frames import Frame
from worker.formation import Standing
from worker.monitor_feed import MonitorFeed
from worker.pulse import Pulse
from worker.raft.entries import Entry, EntryKind, Membership
from worker.raft.ready import Leadership, Role
from worker.registry.rows import Change, ModelRow
from worker.settings import Address, read_address, write_address
from worker.training.job import Job

if TYPE_CHECKING:
    from worker.node import Node

ROW_S = 0.2
SOON_S = 0.05
"""How often peers are told this worker's row in any case, and how soon when entries were applied."""
JOBS_TOLD = 8
SHARDS_TOLD = 64
EVERY_ADDRESS = ("0.0.0.0", "::")
TRACEBACK_CHARACTERS = 8_000
SPEC_TOLD = ("epochs", "batch", "lr", "seed", "shards", "steps_per_round", "optimiser")


class Outlook:
    """One worker, as others see it. Node thread only."""

    def __init__(self, node: "Node", records_folder: str) -> None:
        self._node = node
        self._monitor: str | None = None
        """Where browsers find the monitor, once it listens."""
        self._members: Membership | None = None
        self._reached: dict[str, bool] = {}
        self._telling = False
        self.pulse = Pulse(node.loop, node.links)
        self.feed = self._start_monitor(records_folder)

    def start(self) -> None:
        """Tell the peers from now on; the node is whole."""
        self._tell_again()

    # --- the row

    def own_row(self) -> dict[str, Any]:
        """This worker's row of `minka status`."""
        node, status = self._node, self._node.driver.core.status()
        return {
            "id": node.settings.id,
            "address": write_address(node.settings.advertise),
            "monitor": self._monitor,
            "role": status.role.value,
            "reachable": True,
            "term": status.term,
            "commit_index": status.commit_index,
            "applied_index": node.registry.applied_index,
            "state_digest": node.registry.state_digest,
            "files": len(node.registry.files),
            "models": len(node.registry.models),
            "cores": node.settings.cores,
            "room": node.space.room_bytes,
            "leader": status.leader,
        }

    def standing(self) -> Standing:
        """What newcomers look for among what this worker tells its peers."""
        node, status = self._node, self._node.driver.core.status()
        return Standing(
            formed=node.formation is not None,
            role=status.role.value,
            incarnation=node.incarnation,
            voters=tuple(sorted(status.membership.voters)),
            learners=tuple(sorted(status.membership.learners)),
            founders={} if node.formation is None else node.formation.founders,
            disks={id: row.incarnation for id, row in sorted(node.registry.members.items())},
        )

    def cluster_status(self) -> dict[str, Any]:
        """The answer to `minka status`, on the leader."""
        own = self.own_row()
        workers = sorted([own, *self._node.links.known_rows()], key=lambda row: str(row["id"]))
        return {
            "leader": own["leader"],
            "term": own["term"],
            "commit_index": own["commit_index"],
            "workers": workers,
        }

    def tell(self) -> None:
        """Tell all peers this worker's row, now."""
        jobs = {"jobs": self._jobs()} if self._node.jobs else {}
        self._node.links.tell(self.own_row() | fields.encode(self.standing()) | jobs)

    def _tell_again(self) -> None:
        self.tell()
        self._watch_peers()
        self._node.loop.call_later(ROW_S, self._tell_again)

    def _tell_applied(self) -> None:
        self._telling = False
        self.tell()

    # --- the monitor

    def _start_monitor(self, records: str) -> MonitorFeed:
        node = self._node
        host, port = node.settings.monitor
        settings = {"listen_host": host, "listen_port": port, "static": None, "records": records}
        settings |= {"data": str(node.settings.data), "password": node.settings.monitor_password}
        child = node.children.add("monitor", "worker.monitor", settings, os.environ)
        child.heard = self._monitor_said
        feed = MonitorFeed(
            node.loop, child, node.registry, self._status, node.records.tail, self.vitals, self._model
        )
        child.start()
        return feed

    def _monitor_said(self, frame: Frame) -> None:
        if frame.header.get("about") == "listening":
            self._monitor = public_address(str(frame.header.get("address")), self._node.settings.advertise)
        elif frame.header.get("about") == "failed":
            self._node.fail(Refused(str(frame.header.get("reason")), "Choose another --monitor."))

    def _status(self) -> dict[str, Any]:
        return {"row": self.own_row(), "peers": self._node.links.known_rows()}

    def vitals(self) -> dict[str, Any]:
        """What moves all the time, and only people look at: timers, peers, transfers, shards. Times in seconds."""
        node = self._node
        status, now = node.driver.core.status(), node.loop.now
        peers = {}
        for peer, heard in node.links.heard.items():
            follower = status.peers.get(peer)
            peers[peer] = {
                "heard_s": round(now - heard, 3),
                "round_trip_s": self.pulse.round_trips_s.get(peer),
                "match_index": None if follower is None else follower.match_index,
                "feeding": None if follower is None else follower.state.value,
            }
        return {
            "election_timeout_s": status.election_timeout_s,
            "durable_index": status.durable_index,
            "last_index": status.last_index,
            "log_begins": node.entry_log.first_index(),
            "peers": peers,
            "transfers": node.exchange.under_way(),
            "transferred": list(node.exchange.ended),
            "jobs": self._known_jobs(status.leader),
            "trainers": node.workshop.busy(),
        }

    # --- training

    def _jobs(self) -> list[dict[str, Any]]:
        """What the jobs that this worker drives are at."""
        return [self._job(job) for job in list(self._node.jobs.values())[:JOBS_TOLD]]

    def _job(self, job: Job) -> dict[str, Any]:
        now = self._node.loop.now
        shards = [
            [shard.number, {worker: round(now - since, 2) for worker, since in shard.running.items()}]
            for shard in list(job.open.values())[:SHARDS_TOLD]
        ]
        about = {"model": job.model.id, "round": job.round, "rounds": job.rounds, "work": dict(job.work)}
        about |= {name: job.live.get(name) for name in ("loss", "images_per_second")}
        return about | {"open": len(job.open), "shards": shards, "of": job.spec.get("shards")}

    def _known_jobs(self, leader: str | None) -> list[dict[str, Any]]:
        """Those of the leader, as it tells them; the monitor writes them as text, whatever they are."""
        if leader is None or leader == self._node.settings.id:
            return self._jobs()
        jobs = self._node.links.rows.get(leader, {}).get("jobs")
        return [job for job in jobs[:JOBS_TOLD] if isinstance(job, dict)] if isinstance(jobs, list) else []

    def _model(self, id: str) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
        """All that the monitor shows of a model but for its summary, and its rounds; None if there is no such model."""
        model = self._node.registry.models.get(id)
        if model is None:
            return None
        job = self._node.jobs.get(id)
        row = _details(model)
        if job is None or not job.live:
            return row, model.history
        row |= {name: job.live[name] for name in ("round", "loss", "images_per_second")}
        return row | {"seconds": job.seconds}, [*model.history, *job.fresh_history()]

    def job_moved(self) -> None:
        """A round was computed, ahead of the log: whoever looks is told."""
        for job in self._node.jobs.values():
            if job.live:
                self.feed.changed(Change("models", job.model.id, self._node.watchers.summary(job.model)))

    # --- what happened

    def led(self, leadership: Leadership) -> None:
        """Who leads is told at once, to peers and to people."""
        role, term, leader = leadership.role, leadership.term, leadership.leader
        if role is Role.LEADER or (role is Role.FOLLOWER and leader is not None):
            text = f"{role.value} in term {term}, {leader} leads"
        else:
            text = f"{role.value} in term {term}, nobody leads"
        self.feed.noticed("election", text, role=role.value, term=term, leader=leader)
        self.tell()

    def applied(self, entry: Entry) -> None:
        """An entry took effect: peers are told soon, and people of a new membership."""
        if not self._telling:
            self._telling = True
            self._node.loop.call_later(SOON_S, self._tell_applied)
        if entry.kind is not EntryKind.MEMBERSHIP:
            return
        members = Membership.decode(entry.data)
        if members != self._members:
            self._members = members
            voters, learners = sorted(members.voters), sorted(members.learners)
            text = f"voters {', '.join(voters)}" + (f"; learners {', '.join(learners)}" if learners else "")
            self.feed.noticed("member", text, voters=voters, learners=learners)

    def _watch_peers(self) -> None:
        links = self._node.links
        for peer in list(links.heard):
            reached = links.reachable(peer)
            if self._reached.get(peer) not in (None, reached):
                text = f"{peer} is in reach again" if reached else f"{peer} is out of reach"
                self.feed.noticed("link", text, peer=peer, reached=reached)
            self._reached[peer] = reached


def public_address(listens: str, advertised: Address) -> str:
    """Where others find a monitor: one that listens on all addresses is at the one that the worker is known by."""
    host, port = read_address(listens)
    return write_address((advertised[0] if host in EVERY_ADDRESS else host, port))


def _details(model: ModelRow) -> dict[str, Any]:
    return {
        "round": model.round,
        "rounds": model.rounds,
        "seconds": model.seconds,
        "images_per_second": model.images_per_second,
        "examples": model.facts.get("examples"),
        "spec": {name: model.spec[name] for name in SPEC_TOLD if name in model.spec},
        "error": model.error,
        "traceback": (model.traceback or "")[-TRACEBACK_CHARACTERS:] or None,
    }
