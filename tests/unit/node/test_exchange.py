"""Blobs between workers: a majority is counted once each, pulls outlive their sources, places are given back."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.errors import Busy, MinkaError, Refused, TimedOut
from shared.messages import CHUNK_BYTES
from tests.unit.node.fakes import Call, FakeConnection, FakeLinks, FakeLoop, FakeRequest, FakeTransfers
from worker import exchange, pulls, uploads
from worker.exchange import Exchange
from worker.registry.commands import Blob
from worker.storage.blobs import BlobStore
from worker.storage.disk import OsDisk

DATA = bytes(range(251)) * 30_000  # several chunks, the last one short
PLACES = 8
"""For uploads and pulls, in the store of these tests."""


def blob_of(data: bytes) -> Blob:
    return Blob(hashlib.sha256(data).hexdigest(), len(data))


class Bench:
    """An exchange of worker w1 with fakes around it."""

    def __init__(self, path: Path, voters: str = "w1 w2 w3") -> None:
        self.loop = FakeLoop()
        self.links = FakeLinks("w1")
        self.store = BlobStore(OsDisk(), path, max_uploads=PLACES)
        self.voters = frozenset(voters.split())
        transfers: Any = FakeTransfers(self.loop)
        loop: Any = self.loop
        links: Any = self.links
        self.exchange = Exchange(loop, self.store, transfers, links, lambda: self.voters)

    def want(self, blob: Blob) -> list[MinkaError | None]:
        heard: list[MinkaError | None] = []
        self.exchange.want(blob, heard.append)
        self.loop.settle()
        return heard

    def replicate(self, data: bytes) -> list[MinkaError | None]:
        self.store.put(data)
        heard: list[MinkaError | None] = []
        self.exchange.replicate(blob_of(data), heard.append)
        return heard

    def ask(self, ask: Callable[..., None], *arguments: Any) -> FakeRequest:
        request = FakeRequest(ask.__name__)
        try:
            ask(request, *arguments)
        except MinkaError as error:
            request.fail(error)
        self.loop.settle()
        return request

    def upload(self, data: bytes, named: Blob | None = None) -> FakeRequest:
        """All of an upload, as a client does it; the last answer."""
        blob = named or blob_of(data)
        offset = self.ask(self.exchange.begin, blob).header["offset"]
        while offset < len(data):
            chunk = data[offset : offset + CHUNK_BYTES]
            offset = self.ask(self.exchange.chunk, blob.digest, offset, chunk).header["offset"]
        return self.ask(self.exchange.finish, blob.digest)


@pytest.fixture(autouse=True)
def few_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "UPLOADS_LIMIT", PLACES // 2)
    monkeypatch.setattr(pulls, "ACTIVE_LIMIT", PLACES // 2)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def serve(bench: Bench, peer: FakeConnection, data: bytes, only: int | None = None) -> None:
    """Answer the reads that `peer` is asked, as one who holds `data` does; at most `only` of them."""
    while (calls := peer.open_calls("read")) and only != 0:
        answer_read(calls[0], data)
        bench.loop.settle()
        only = None if only is None else only - 1


def answer_read(call: Call, data: bytes) -> None:
    at = call.fields["offset"]
    call.answer({"size_bytes": len(data)}, data[at : at + call.fields["length"]])


# --- pulling


def test_a_pull_ends_with_the_verified_bytes(bench: Bench) -> None:
    peer = bench.links.connect("w2")
    heard = bench.want(blob_of(DATA))
    serve(bench, peer, DATA)
    assert heard == [None]
    assert bench.store.verify(blob_of(DATA).digest) == "ok"


def test_nobody_hears_of_a_blob_while_still_asking_for_it(bench: Bench) -> None:
    """It may come from elsewhere between a look that misses it and the wish for it."""
    bench.store.put(DATA)
    heard: list[MinkaError | None] = []
    bench.exchange.want(blob_of(DATA), heard.append)
    assert heard == []
    bench.loop.settle()
    assert heard == [None]


def test_chunks_may_come_in_any_order(bench: Bench) -> None:
    peer = bench.links.connect("w2")
    heard = bench.want(blob_of(DATA))
    while calls := peer.open_calls("read"):
        for call in reversed(calls):
            answer_read(call, DATA)
        bench.loop.settle()
    assert heard == [None]


def test_a_pull_goes_on_at_another_peer_where_the_first_one_broke(bench: Bench) -> None:
    first = bench.links.connect("w2")
    heard = bench.want(blob_of(DATA))
    serve(bench, first, DATA, only=3)
    del bench.links.peers["w2"]
    first.break_()
    second = bench.links.connect("w3")
    bench.loop.advance(1)
    assert second.calls[0].fields["offset"] == 3 * CHUNK_BYTES
    serve(bench, second, DATA)
    assert heard == [None]


def test_wrong_bytes_are_pulled_again_from_another_peer(bench: Bench) -> None:
    peers = {"w2": b"x" * len(DATA), "w3": DATA}
    for peer in peers:
        bench.links.connect(peer)
    heard = bench.want(blob_of(DATA))
    for _ in range(20):
        for peer, data in peers.items():
            serve(bench, bench.links.peers[peer], data)
        bench.loop.advance(1)
    assert heard == [None]
    assert bench.store.read(blob_of(DATA).digest, 0, len(DATA)) == DATA


def test_a_short_answer_does_not_pass_for_the_bytes(bench: Bench) -> None:
    peer = bench.links.connect("w2")
    heard = bench.want(blob_of(DATA))
    peer.open_calls("read")[0].answer({"size_bytes": len(DATA)}, b"short")
    bench.loop.advance(1)
    serve(bench, peer, DATA)
    assert heard == [None]


def test_an_empty_blob_needs_no_peer_to_send_anything(bench: Bench) -> None:
    bench.links.connect("w2")
    assert bench.want(blob_of(b"")) == [None]


def test_all_who_want_a_blob_hear_of_it_once(bench: Bench) -> None:
    peer = bench.links.connect("w2")
    first, second = bench.want(blob_of(DATA)), bench.want(blob_of(DATA))
    serve(bench, peer, DATA)
    assert (first, second) == ([None], [None])
    assert bench.want(blob_of(DATA)) == [None]


def test_many_pulls_leave_nothing_open_in_the_store(bench: Bench) -> None:
    peer = bench.links.connect("w2")
    for number in range(2 * PLACES):
        data = b"%d" % number
        heard = bench.want(blob_of(data))
        serve(bench, peer, data)
        assert heard == [None]
    assert len(bench.store._uploads) == 0


def test_blobs_that_nobody_has_do_not_stand_before_one_that_somebody_has(bench: Bench) -> None:
    for number in range(3 * PLACES):
        bench.want(blob_of(b"lost %d" % number))
    peer = bench.links.connect("w2")
    heard = bench.want(blob_of(DATA))
    for _ in range(40):
        for call in peer.open_calls("read"):
            if call.fields["digest"] == blob_of(DATA).digest:
                answer_read(call, DATA)
            else:
                call.answer(Refused("This worker does not hold it."))
        bench.loop.advance(1)
    assert heard == [None]


def test_a_full_disk_is_told_to_who_waits(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OsDisk, "free_bytes", lambda *_: 0)
    bench.links.connect("w2")
    (error,) = bench.want(blob_of(DATA))
    assert isinstance(error, Refused)


def test_a_peer_is_not_left_waiting_for_a_blob_that_nobody_sends(bench: Bench) -> None:
    request = bench.ask(bench.exchange.hold, blob_of(DATA))
    bench.loop.advance(exchange.HOLD_S)
    with pytest.raises(TimedOut):
        assert request.header
    bench.loop.advance(10 * pulls.RETRY_LIMIT_S)
    assert len(bench.exchange._pulls) == 0


def test_a_digest_that_is_none_is_refused(bench: Bench) -> None:
    for ask, rest in ((bench.exchange.hold, ()), (bench.exchange.begin, ())):
        with pytest.raises(Refused):
            assert bench.ask(ask, Blob("../../etc/passwd", 3), *rest).header
    with pytest.raises(Refused):
        assert bench.ask(bench.exchange.read, "../../etc/passwd", 0, 1).header


# --- a majority


def test_a_blob_is_replicated_once_a_majority_holds_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "w1 w2 w3 w4 w5")
    connections = [bench.links.connect(peer) for peer in ("w2", "w3", "w4", "w5")]
    heard = bench.replicate(DATA)
    connections[0].open_calls("hold")[0].answer({})
    assert heard == []
    connections[3].open_calls("hold")[0].answer({})
    assert heard == [None]
    connections[1].open_calls("hold")[0].answer({})
    assert heard == [None]


def test_a_worker_alone_is_its_own_majority(tmp_path: Path) -> None:
    assert Bench(tmp_path, "w1").replicate(DATA) == [None]


def test_a_worker_that_answers_twice_counts_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "w1 w2 w3 w4 w5")
    heard = bench.replicate(DATA)
    for _ in range(3):
        connection = bench.links.connect("w2")
        bench.loop.advance(1)
        for call in connection.open_calls("hold"):
            call.answer({})
    bench.loop.advance(1)
    assert heard == []


def test_who_is_no_voter_does_not_count(bench: Bench) -> None:
    learner = bench.links.connect("w9")
    heard = bench.replicate(DATA)
    learner.open_calls("hold")[0].answer({})
    bench.loop.advance(1)
    assert heard == []


def test_a_worker_whose_connection_broke_is_asked_again(bench: Bench) -> None:
    heard = bench.replicate(DATA)
    broken = bench.links.connect("w2")
    bench.loop.advance(1)
    broken.break_()
    again = bench.links.connect("w2")
    bench.loop.advance(1)
    again.open_calls("hold")[0].answer({})
    assert heard == [None]


def test_without_a_majority_the_cluster_is_busy_and_nothing_is_left_behind(bench: Bench) -> None:
    heard = bench.replicate(DATA)
    before = bench.loop.waiting
    bench.loop.advance(exchange.HOLD_S + 1)
    assert [type(error) for error in heard] == [Busy]
    assert bench.loop.waiting < before
    bench.links.connect("w2")
    bench.loop.advance(1)
    assert bench.links.peers["w2"].calls == []


# --- uploads of clients


def test_an_upload_is_verified_and_on_a_majority_before_it_is_answered(bench: Bench) -> None:
    request = bench.upload(DATA)
    assert request.answer is None
    peer = bench.links.connect("w2")
    bench.loop.advance(1)
    peer.open_calls("hold")[0].answer({})
    assert request.header == {}
    assert bench.store.verify(blob_of(DATA).digest) == "ok"
    assert bench.ask(bench.exchange.begin, blob_of(DATA)).header == {"offset": len(DATA)}


def test_uploads_leave_nothing_open_however_they_end(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "w1")
    for number in range(2 * PLACES):
        good = b"good %d" % number
        assert bench.upload(good).header == {}
        named = Blob(hashlib.sha256(b"other %d" % number).hexdigest(), len(good))
        with pytest.raises(Refused, match="digest"):
            assert bench.upload(good, named).header
    assert len(bench.store._uploads) == len(bench.exchange._uploads) == 0


def test_an_upload_goes_on_where_it_stopped(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "w1")
    blob = blob_of(DATA)
    bench.ask(bench.exchange.begin, blob)
    bench.ask(bench.exchange.chunk, blob.digest, 0, DATA[:CHUNK_BYTES])
    assert bench.ask(bench.exchange.begin, blob).header == {"offset": CHUNK_BYTES}
    with pytest.raises(Refused, match="gap"):
        assert bench.ask(bench.exchange.chunk, blob.digest, 5 * CHUNK_BYTES, b"x").header
    with pytest.raises(Refused, match="missing"):
        assert bench.ask(bench.exchange.finish, blob.digest).header
    assert bench.upload(DATA).header == {}


def test_clients_that_have_gone_give_their_places_back_and_can_still_go_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "w1")
    blob = blob_of(DATA)
    bench.ask(bench.exchange.begin, blob)
    bench.ask(bench.exchange.chunk, blob.digest, 0, DATA[:CHUNK_BYTES])
    for number in range(uploads.UPLOADS_LIMIT - 1):
        bench.ask(bench.exchange.begin, blob_of(b"gone %d" % number))
    with pytest.raises(Busy):
        assert bench.ask(bench.exchange.begin, blob_of(b"one more")).header
    bench.loop.advance(uploads.IDLE_S + uploads.SWEEP_S)
    assert len(bench.store._uploads) == len(bench.exchange._uploads) == 0
    assert bench.ask(bench.exchange.begin, blob).header == {"offset": CHUNK_BYTES}


def test_another_length_cannot_spoil_an_upload_that_is_under_way(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "w1")
    blob = blob_of(DATA)
    bench.ask(bench.exchange.begin, blob)
    with pytest.raises(Refused):
        assert bench.ask(bench.exchange.begin, Blob(blob.digest, 5)).header
    assert bench.upload(DATA).header == {}


def test_a_chunk_without_an_upload_is_refused(bench: Bench) -> None:
    for ask, rest in ((bench.exchange.chunk, (0, b"x")), (bench.exchange.finish, ())):
        with pytest.raises(Refused, match="Begin it again"):
            assert bench.ask(ask, blob_of(DATA).digest, *rest).header


def test_two_clients_that_finish_the_same_upload_are_both_answered(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "w1")
    blob = blob_of(b"same")
    bench.ask(bench.exchange.begin, blob)
    bench.ask(bench.exchange.chunk, blob.digest, 0, b"same")
    requests = [FakeRequest("finish"), FakeRequest("finish")]
    for request in requests:
        waiting: Any = request
        bench.exchange.finish(waiting, blob.digest)
    bench.loop.settle()
    assert [request.header for request in requests] == [{}, {}]


def test_only_what_is_held_is_read(bench: Bench) -> None:
    blob = Blob(bench.store.put(DATA), len(DATA))
    request = bench.ask(bench.exchange.read, blob.digest, 10, 2**62)
    assert request.answer == ({"size_bytes": len(DATA)}, DATA[10 : 10 + CHUNK_BYTES])
    assert bench.ask(bench.exchange.read, blob.digest, 2**62, 5).answer == ({"size_bytes": len(DATA)}, b"")
    with pytest.raises(Refused, match="not hold"):
        assert bench.ask(bench.exchange.read, blob_of(b"unknown").digest, 0, 1).header
