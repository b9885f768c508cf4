"""The load generator: many clients put random new files into a cluster at once, and count what became of them."""

import contextlib
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from backend.client import ClusterClient
from backend.listings import all_files, verified
from backend.transfers import upload
from shared.errors import MinkaError, TimedOut, Unreachable

SETTLE_S = 120.0
"""For a worker that was away to catch up, before copies that it lacks count as missing."""
LOOK_AGAIN_S = 0.2
WATCH_S = 0.1
"""How often it is looked who leads."""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What to put in: so many files, of sizes in bytes between the two, of contents that follow from the seed."""

    files: int
    clients: int
    min_bytes: int
    max_bytes: int
    seed: int

    def content(self, number: int) -> bytes:
        """The bytes of file `number`."""
        source = random.Random(f"{self.seed} {number}")
        return source.randbytes(source.randint(self.min_bytes, self.max_bytes))

    def name(self, number: int) -> str:
        """The name of file `number`."""
        return f"load-{self.seed}-{number:06d}.bin"


@dataclass(frozen=True, slots=True)
class Stored:
    """One file that the cluster has acknowledged; times in seconds since the load began."""

    id: int
    digest: str
    size_bytes: int
    began_s: float
    ended_s: float

    @property
    def latency_ms(self) -> float:
        """From the first byte sent to the acknowledgement."""
        return (self.ended_s - self.began_s) * 1000


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened to the cluster meanwhile; `at_s` in seconds since the load began."""

    at_s: float
    text: str


@dataclass(slots=True)
class LoadRun:
    """What has happened so far."""

    stored: list[Stored] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0
    leader_changes: int = 0
    lost: int = 0
    duplicated: int = 0
    digests_equal: bool = False

    @property
    def longest_pause_s(self) -> float:
        """Without an acknowledgement, from the beginning to the last one."""
        moments = [0.0, *sorted(each.ended_s for each in self.stored)]
        return max((later - earlier for earlier, later in itertools.pairwise(moments)), default=0.0)

    def row(self) -> dict[str, Any]:
        """As CONTRACT's `minka load` answers."""
        latencies = sorted(each.latency_ms for each in self.stored)
        return {
            "files": len(self.stored),
            "bytes": sum(each.size_bytes for each in self.stored),
            "seconds": round(self.seconds, 3),
            "files_per_second": round(len(self.stored) / self.seconds, 1) if self.seconds else 0.0,
            "latency_ms": {name: round(percentile(latencies, part), 2) for name, part in PERCENTILES.items()},
            "errors": len(self.errors),
            "lost": self.lost,
            "duplicated": self.duplicated,
            "longest_pause_s": round(self.longest_pause_s, 3),
            "leader_changes": self.leader_changes,
            "digests_equal": self.digests_equal,
        }


PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}


def percentile(ordered: Sequence[float], part: float) -> float:
    """The smallest value that at least `part` of all do not exceed (nearest rank); 0 for none."""
    rank = max(1, -(-len(ordered) * part // 1))
    return ordered[int(rank) - 1] if ordered else 0.0


def run_load(
    plan: LoadPlan,
    connect: Callable[[], ClusterClient],
    half_way: Callable[[Callable[[str], None]], None] | None,
    report: Callable[[int, int], None],
    checking: Callable[[], None] = lambda: None,
) -> LoadRun:
    """Carry out `plan`, then check that every acknowledged file is there, with equal digests on all workers.

    `half_way` runs beside the load once half of the files are done, and is given a function that marks what it does.
    `report` is told the files done and in all; `checking` is called when what is left is to look at every copy. Raises as
    `ClusterClient` does when the cluster cannot be reached before or after; failures in between are counted.
    """
    run, lock, numbers = LoadRun(), threading.Lock(), iter(range(plan.files))
    middle, stopping = threading.Event(), threading.Event()
    with connect() as observer:
        before = observer.status()
        start = time.monotonic()

        def work() -> None:
            with connect() as client:
                while True:
                    with lock:
                        number = next(numbers, None)
                    if number is None or stopping.is_set():
                        return
                    content, began_s = plan.content(number), time.monotonic() - start
                    try:
                        row = upload(client, content, plan.name(number))
                    except MinkaError as error:
                        with lock:
                            run.errors.append(str(error))
                    else:
                        ended_s = time.monotonic() - start
                        stored = Stored(row["id"], row["digest"], len(content), began_s, ended_s)
                        with lock:
                            run.stored.append(stored)
                    done = len(run.stored) + len(run.errors)
                    if done * 2 >= plan.files:
                        middle.set()
                    report(done, plan.files)

        def mark(text: str) -> None:
            run.marks.append(Mark(time.monotonic() - start, text))

        def watch() -> None:
            """Marks each change of leader."""
            led = (before["leader"], before["term"])
            with connect() as watcher:
                while not over.wait(WATCH_S):
                    with contextlib.suppress(MinkaError):
                        status = watcher.status()
                        if led != (led := (status["leader"], status["term"])):
                            mark(f"{led[0]} leads, term {led[1]}")

        over = threading.Event()
        watching = threading.Thread(target=watch, name="load watch")
        threads = [threading.Thread(target=work, name=f"load {number}") for number in range(plan.clients)]
        try:
            for thread in [*threads, watching]:
                thread.start()
            if half_way is not None:
                middle.wait()
                half_way(mark)
        except BaseException:
            stopping.set()
            raise
        finally:
            for thread in threads:
                thread.join()
            over.set()
            watching.join()
        run.seconds = max((each.ended_s for each in run.stored), default=time.monotonic() - start)
        checking()
        _check(run, observer, plan, before)
        run.leader_changes = observer.status()["term"] - before["term"]
    return run


def _check(run: LoadRun, client: ClusterClient, plan: LoadPlan, before: dict[str, Any]) -> None:
    """Look for all acknowledged files in the listing, each of them once, and for their copies on all workers."""
    new = [row for row in all_files(client) if row["id"] > before["commit_index"]]
    listed = {row["id"]: row["digest"] for row in new}
    names = Counter(row["name"] for row in new)
    run.duplicated = sum(max(0, names[plan.name(number)] - 1) for number in range(plan.files))
    workers = [row["id"] for row in before["workers"]]
    run.lost = sum(listed.get(each.id) != each.digest for each in run.stored)
    ids = {each.id for each in run.stored}
    deadline = time.monotonic() + SETTLE_S
    while not _equal_everywhere(client, ids, workers):
        if time.monotonic() > deadline:
            return
        time.sleep(LOOK_AGAIN_S)
    run.digests_equal = True


def _equal_everywhere(client: ClusterClient, ids: set[int], workers: Sequence[str]) -> bool:
    try:
        rows = list(verified(client))
    except (Unreachable, TimedOut):
        return False
    holders = {row["id"]: row["holders"] for row in rows if row["id"] in ids}
    return all(holders.get(id, {}).get(worker) == "ok" for id in ids for worker in workers)
