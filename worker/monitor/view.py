"""What the monitor knows: notices of the node in, answers and deltas out. No socket, clock or thread.

The view is this worker's own applied state, never the cluster's opinion: that is what makes two monitors
comparable by eye. ``version`` rises with every notice; an answer carries the version it was made at, and so does a
batch of deltas, so that a page can lay the one over the other in the right order.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from shared.errors import ProtocolViolation
from worker.monitor.history import MODELS_KEPT, Rounds, Samples

RECORDS_KEPT = 10_000
LOG_KEPT = 10_000
NOTICES_KEPT = 1_000
ROWS_KEPT = 200_000
DIGESTS_KEPT = 256
DELTA_ROWS = 500
PAGE_ROWS = 1000
FILES_PAGE_ROWS = 10_000
SEARCHED_ROWS = 20_000
"""Of one search for files: some milliseconds, in which nobody else is answered."""

Row = dict[str, Any]


class Tail:
    """The last rows of something that only grows, each known by a rising number in its field `key`."""

    def __init__(self, key: str, kept: int) -> None:
        self._key = key
        self._rows: deque[Row] = deque(maxlen=kept)
        self._fresh: deque[Row] = deque(maxlen=DELTA_ROWS)

    @property
    def first(self) -> int:
        """The lowest number that is still here, 0 when there is none."""
        return int(self._rows[0][self._key]) if self._rows else 0

    @property
    def last(self) -> int:
        """The highest number so far, 0 when there is none."""
        return int(self._rows[-1][self._key]) if self._rows else 0

    def extend(self, rows: Iterable[Row]) -> None:
        """Appends rows; a number that does not rise replaces the tail from there (a cut log is written anew)."""
        for row in rows:
            number = int(row[self._key])
            while self._rows and self._rows[-1][self._key] >= number:
                self._rows.pop()
            while self._fresh and self._fresh[-1][self._key] >= number:
                self._fresh.pop()
            self._rows.append(row)
            self._fresh.append(row)

    def after(self, number: int, limit: int) -> list[Row]:
        """The first `limit` rows whose number is above `number`, in order."""
        return list(islice((row for row in self._rows if row[self._key] > number), limit))

    def newest(self, limit: int) -> list[Row]:
        """The last `limit` rows, in order."""
        return list(islice(self._rows, max(0, len(self._rows) - limit), None))

    def take_fresh(self) -> list[Row]:
        """What was appended since the last call, at most the newest `DELTA_ROWS`."""
        fresh = list(self._fresh)
        self._fresh.clear()
        return fresh


class Table:
    """Rows by id, in order of arrival, at most `ROWS_KEPT`."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._fresh: dict[str, Row | None] = {}
        self._again = False

    def __len__(self) -> int:
        return len(self._rows)

    def change(self, id: str, value: Row | None) -> None:
        """Sets the row `id`, or removes it when `value` is None."""
        if value is None:
            self._rows.pop(id, None)
        elif id in self._rows or len(self._rows) < ROWS_KEPT:
            self._rows[id] = value
        else:
            return
        self._fresh.pop(id, None)
        self._fresh[id] = value

    def clear(self) -> None:
        """Forgets every row: the whole state follows anew."""
        self._rows.clear()
        self._fresh.clear()
        self._again = True

    def page(self, skip: int, limit: int) -> list[Row]:
        """`limit` rows after the first `skip`."""
        return list(islice(self._rows.values(), skip, skip + limit))

    def get(self, id: str) -> Row | None:
        """One row."""
        return self._rows.get(id)

    def values(self) -> Iterable[Row]:
        """Every row."""
        return self._rows.values()

    def search(self, words: Sequence[str], skip: int, limit: int) -> tuple[list[Row], int]:
        """Newest first and behind the first `skip`, `limit` rows whose id, name or digest hold every word (in lower case);
        and how many rows have been looked at then, those skipped included. It looks at `SEARCHED_ROWS` at most.
        """
        found: list[Row] = []
        looked = skip
        for row in islice(reversed(self._rows.values()), skip, skip + SEARCHED_ROWS):
            if len(found) == limit:
                break
            looked += 1
            text = f"{row.get('id')} {row.get('name')} {row.get('digest')}".lower() if words else ""
            if all(word in text for word in words):
                found.append(row)
        return found, looked

    def take_fresh(self) -> tuple[list[Row], list[str], bool]:
        """The rows set and the ids removed since the last call; True when there are too many to tell, so that a
        page must ask for the whole again."""
        fresh, self._fresh = self._fresh, {}
        again, self._again = self._again or len(fresh) > DELTA_ROWS, False
        if again:
            return [], [], True
        return (
            [row for row in fresh.values() if row is not None],
            [id for id in fresh if fresh[id] is None],
            False,
        )


class Digests:
    """The last state digests that one worker showed, by applied index, in the order in which they came."""

    def __init__(self) -> None:
        self._by_index: dict[int, str] = {}

    def add(self, row: Row) -> None:
        """Notes the digest of a status row, if it tells one."""
        if row.get("state_digest"):
            index = int(row["applied_index"])
            self._by_index.pop(index, None)
            self._by_index[index] = str(row["state_digest"])
            if len(self._by_index) > DIGESTS_KEPT:
                del self._by_index[next(iter(self._by_index))]

    def compare(self, other: "Digests") -> tuple[bool, int] | None:
        """Whether both were equal at the index that `other` showed last and both know, and that index."""
        for index, digest in reversed(other._by_index.items()):
            if index in self._by_index:
                return self._by_index[index] == digest, index
        return None


class View:
    """One worker's state as its node has told it so far.

    A row of `files` and `models` also carries `changed`: an applied index at which it was as it is now.
    """

    def __init__(self) -> None:
        self.version = 0
        self.index = 0
        self.row: Row = {}
        self.peers: list[Row] = []
        self.files = Table()
        self.models = Table()
        self.records = Tail("record", RECORDS_KEPT)
        self.log = Tail("index", LOG_KEPT)
        self.notices = Tail("notice", NOTICES_KEPT)
        self.vitals: Row = {}
        self.samples = Samples()
        self._rounds: dict[str, Rounds] = {}
        self._fresh: list[tuple[str, Row]] = []
        """Events that are told as they are: rounds and samples."""
        self._vitals_are_fresh = False
        self._digests: dict[str, Digests] = {}
        self._status_is_fresh = False

    def take(self, notice: Mapping[str, Any]) -> None:
        """Applies one notice of the node. Raises ProtocolViolation for one that makes no sense."""
        self.version += 1
        try:
            match notice["about"]:
                case "status":
                    self._take_status(notice["row"], notice["peers"])
                case "reset":
                    self.files.clear()
                    self.models.clear()
                    self._rounds.clear()
                case "vitals":
                    self.vitals = dict(notice["vitals"])
                    self._vitals_are_fresh = True
                case "rounds":
                    self._take_rounds(str(notice["model"]), notice["rounds"])
                case "changes":
                    self.index = int(notice["index"])
                    tables = {"files": self.files, "models": self.models}
                    for change in notice["changes"]:
                        value = change["value"]
                        told = None if value is None else {**value, "changed": self.index}
                        tables[change["set"]].change(str(change["id"]), told)
                case "records":
                    self.records.extend(notice["records"])
                case "notices":
                    self.notices.extend(notice["notices"])
                case "applied":
                    self._take_applied(notice["rows"])
                case other:
                    raise ProtocolViolation(f"The node told of {other!r}, which this monitor does not know.")
        except (LookupError, TypeError, ValueError) as error:
            raise ProtocolViolation(f"The node sent a notice without sense: {error!r}.") from error

    def _take_rounds(self, model: str, rows: list[Row]) -> None:
        self._rounds.setdefault(model, Rounds()).take(rows)
        if len(self._rounds) > MODELS_KEPT:
            del self._rounds[next(iter(self._rounds))]
        self._tell("rounds", {"model": model, "rounds": rows})

    def sample(self, now: float, time_s: float, machine: Row) -> None:
        """How things are at this second; `machine` as `machine.Machine` tells it."""
        counts = {"commits": float(self.row.get("commit_index") or 0), "records": float(self.records.last)}
        self._tell("sample", self.samples.add(now, time_s, counts, machine))

    def _tell(self, event: str, data: Row) -> None:
        if len(self._fresh) < DELTA_ROWS:
            self._fresh.append((event, data))

    def _take_applied(self, rows: list[list[Any]]) -> None:
        """Takes the rows of `worker.monitor_feed`."""
        entries, records = [], []
        for index, term, kind, size_bytes, summary, *more in rows:
            entry = {"index": index, "term": term, "kind": kind, "bytes": size_bytes, "summary": summary}
            entries.append(entry)
            if not more:
                continue
            number, time_ms, client, what, *further = more
            record = {"record": number, "index": index, "time": time_ms / 1000, "client": client}
            records.append({**record, "kind": what, "summary": summary})
            if len(further) == 1:
                for place, (client, summary) in enumerate(further[0], number + 1):
                    told = {"client": client, "summary": summary, "record": place}
                    records.append({**records[-1], **told})
            elif further:
                name, file_bytes, digest = further
                value = {"id": index, "name": name, "bytes": file_bytes, "digest": digest, "index": index}
                self.files.change(str(index), {**value, "created": time_ms / 1000, "changed": index})
        self.log.extend(entries)
        self.records.extend(records)
        self.index = max(self.index, int(rows[-1][0]))

    def _take_status(self, row: Row, peers: list[Row]) -> None:
        self.row = dict(row)
        self.peers = [dict(peer) for peer in peers if peer["id"] != row["id"]]
        shown = {str(each["id"]): each for each in (self.row, *self.peers)}
        self._digests = {id: self._digests.get(id, Digests()) for id in shown}
        for id, each in shown.items():
            self._digests[id].add(each)
        self._status_is_fresh = True

    def status(self) -> Row:
        """This worker's row, beside it `leader`, and `peers`.

        Each peer's row also says whether its state was equal to ours (`agrees`) at the last applied index at which
        both were seen (`compared_index`); both are None while there was no such index.
        """
        peers = [{**peer, **self._verdict(peer)} for peer in self.peers]
        return {**self.row, "leader": self.leader(), "peers": peers, "version": self.version}

    def leader(self) -> str | None:
        """The id of the leader as this worker knows it."""
        if "leader" in self.row:
            return None if self.row["leader"] is None else str(self.row["leader"])
        known = [row for row in (self.row, *self.peers) if row.get("role") == "leader"]
        newest = max(known, key=lambda row: int(row.get("term") or 0), default=None)
        return None if newest is None else str(newest["id"])

    def _verdict(self, peer: Row) -> Row:
        found = self._digests[str(self.row["id"])].compare(self._digests[str(peer["id"])])
        agrees, index = found if found is not None else (None, None)
        return {"agrees": agrees, "compared_index": index}

    def files_page(self, skip: int = 0, limit: int = FILES_PAGE_ROWS) -> Row:
        """`limit` files after the first `skip`, in the order in which they were named."""
        return {"files": self.files.page(skip, limit), **self._place(len(self.files))}

    def found_files(self, words: Sequence[str], skip: int, limit: int) -> Row:
        """Files that hold all words, newest first; the search goes on behind `looked` rows, until `total`."""
        found, looked = self.files.search(words, skip, limit)
        return {"files": found, "looked": looked, **self._place(len(self.files))}

    def models_page(self, skip: int = 0, limit: int = FILES_PAGE_ROWS) -> Row:
        """`limit` models after the first `skip`, oldest first."""
        return {"models": self.models.page(skip, limit), **self._place(len(self.models))}

    def records_page(self, after: int = 0, limit: int = PAGE_ROWS, tail: int | None = None) -> Row:
        """Records above number `after`, or the last `tail`; `first` is the oldest that this monitor still has."""
        rows = self.records.after(after, limit) if tail is None else self.records.newest(tail)
        return {"records": rows, "first": self.records.first, **self._place(self.records.last)}

    def log_page(self, after: int = 0, limit: int = PAGE_ROWS, tail: int | None = None) -> Row:
        """Log entries above index `after`, or the last `tail`."""
        rows = self.log.after(after, limit) if tail is None else self.log.newest(tail)
        return {"entries": rows, "first": self.log.first, **self._place(self.log.last)}

    def notices_page(self, after: int = 0, limit: int = PAGE_ROWS, tail: int | None = None) -> Row:
        """What has happened to this worker alone: notices above number `after`, or the last `tail`."""
        rows = self.notices.after(after, limit) if tail is None else self.notices.newest(tail)
        return {"notices": rows, "first": self.notices.first, **self._place(self.notices.last)}

    def vitals_page(self) -> Row:
        """Timers, peers, transfers and shards as the node told them last, and the samples of the last minutes."""
        return {"vitals": self.vitals, "samples": self.samples.rows(), "version": self.version}

    def rounds_page(self, model: str) -> Row:
        """One model's row and rounds; an empty list where nothing is known."""
        rounds = self._rounds.get(model)
        return {"model": self.models.get(model), "rounds": [] if rounds is None else rounds.rows()}

    def _place(self, total: int) -> Row:
        return {"total": total, "index": self.index, "version": self.version}

    def take_deltas(self) -> list[tuple[str, Row]]:
        """Event names and data that bring a page from the last call's state to this one."""
        deltas: list[tuple[str, Row]] = []
        if self._status_is_fresh:
            self._status_is_fresh = False
            deltas.append(("status", self.status()))
        for name, table in (("files", self.files), ("models", self.models)):
            rows, removed, again = table.take_fresh()
            if rows or removed or again:
                changes = {"set": rows, "removed": removed, "again": again}
                deltas.append((name, {**changes, **self._place(len(table))}))
        if records := self.records.take_fresh():
            deltas.append(("records", {"records": records, **self._place(self.records.last)}))
        if entries := self.log.take_fresh():
            deltas.append(("log", {"entries": entries, **self._place(self.log.last)}))
        if notices := self.notices.take_fresh():
            deltas.append(("notices", {"notices": notices, **self._place(self.notices.last)}))
        if self._vitals_are_fresh:
            self._vitals_are_fresh = False
            deltas.append(("vitals", self.vitals))
        deltas += self._fresh
        self._fresh = []
        return deltas
