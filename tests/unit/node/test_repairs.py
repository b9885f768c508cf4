"""A repair goes on until it succeeds or is needed no more, whatever the peers answer."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shared.errors import Refused
from tests.unit.node.fakes import FakeConnection, FakeLinks, FakeLoop, FakeTransfers
from tests.unit.storage.test_log import opened, write
from worker.raft.entries import Entry, EntryKind
from worker.repairs import RETRY_S, Repairs
from worker.storage.blobs import BlobStore
from worker.storage.disk import OsDisk
from worker.storage.framing import Stretch, damaged_stretch
from worker.storage.mending import read_entry
from worker.storage.packs import Packs

SMALL = b"the small file"
DIGEST = hashlib.sha256(SMALL).hexdigest()


class Bench:
    def __init__(self, path: Path) -> None:
        self.disk = OsDisk()
        self.loop, self.links = FakeLoop(), FakeLinks("w1")
        self.transfers = FakeTransfers(self.loop)
        self.log = opened(path / "log", disk=self.disk)
        self.entry = Entry(1, 1, EntryKind.COMMAND, b"the data of an entry")
        write(self.log, [self.entry])
        self.store = BlobStore(self.disk, path / "blobs")
        self.packs = Packs()
        self.pack = self.store.put(b"<<" + SMALL + b">>")
        self.packs.add(self.pack, len(SMALL) + 4, {DIGEST: (2, len(SMALL))})
        self.told: list[str] = []
        self.looked_at_again: list[int] = []
        node: Any = SimpleNamespace(
            disk=self.disk,
            loop=self.loop,
            links=self.links,
            transfers=self.transfers,
            store=self.store,
            entry_log=self.log,
            registry=SimpleNamespace(applied_index=1),
            snapshots=SimpleNamespace(packs=self.packs),
            notice=lambda kind, text, **facts: self.told.append(kind),
            log=lambda line: None,
            driver=SimpleNamespace(repeat=self.repeat),
            scrubber=SimpleNamespace(look_at_segment=self.looked_at_again.append),
        )
        self.repairs = Repairs(node)

    def damage_entry(self) -> None:
        (place,) = self.log.pin(1, 0)
        with place.path.open("r+b") as file:
            file.seek(place.offset + 30)
            file.write(b"?")
        self.log._recent.clear()

    def repeat(self, done: Callable[[], None]) -> None:
        """As `Driver.repeat`."""
        batch = self.log.repeat()
        self.log.write([batch])
        self.log.installed(batch)
        done()

    def stretch(self) -> Stretch | None:
        """The damage in the log's only segment."""
        extent = self.log.hold(1)
        assert extent is not None
        check = damaged_stretch(self.disk, extent)
        try:
            while True:
                next(check)
        except StopIteration as end:
            self.log.release(1)
            stretch: Stretch | None = end.value
            return stretch

    def asked(self, peer: FakeConnection, op: str) -> Any:
        self.loop.settle()
        (call,) = peer.open_calls(op)
        return call


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_an_entry_comes_from_the_first_peer_that_has_it(bench: Bench) -> None:
    peers = [bench.links.connect("w2"), bench.links.connect("w3")]
    bench.damage_entry()
    bench.repairs.entry(1)
    bench.asked(peers[1], "entry").answer(Refused("This entry is not here."))
    bench.asked(peers[0], "entry").answer({"kind": EntryKind.COMMAND.value}, bench.entry.data)
    bench.loop.settle()
    assert read_entry(bench.disk, bench.log.pin(1, 0)[0]) == bench.entry
    assert bench.told == ["damage", "repair"]
    assert not bench.repairs


@pytest.mark.parametrize("answer", [({"kind": 9}, b"x"), ({}, b""), ({"kind": 1}, b"the data of another")])
def test_nonsense_is_not_written_into_the_log(bench: Bench, answer: tuple[dict[str, Any], bytes]) -> None:
    peer = bench.links.connect("w2")
    bench.damage_entry()
    bench.repairs.entry(1)
    bench.asked(peer, "entry").answer(*answer)
    bench.loop.advance(RETRY_S)
    bench.asked(peer, "entry").answer({"kind": EntryKind.COMMAND.value}, bench.entry.data)
    bench.loop.settle()
    assert read_entry(bench.disk, bench.log.pin(1, 0)[0]) == bench.entry


def test_a_worker_alone_goes_on_looking_for_a_peer(bench: Bench) -> None:
    bench.damage_entry()
    bench.repairs.entry(1)
    bench.repairs.entry(1)
    bench.loop.advance(3 * RETRY_S)
    assert bench.told == ["damage"]
    peer = bench.links.connect("w2")
    bench.loop.advance(RETRY_S)
    bench.asked(peer, "entry").answer({"kind": EntryKind.COMMAND.value}, bench.entry.data)
    bench.loop.settle()
    assert bench.told == ["damage", "repair"]


def test_a_small_file_is_put_back_into_its_pack_if_its_digest_says_so(bench: Bench) -> None:
    peers = [bench.links.connect("w2"), bench.links.connect("w3")]
    path = bench.store.path(bench.pack)
    path.write_bytes(path.read_bytes().replace(b"small", b"smell"))
    bench.repairs.small(DIGEST)
    bench.asked(peers[1], "small").answer({}, b"the smell file")
    bench.asked(peers[0], "small").answer({}, SMALL)
    bench.loop.settle()
    assert bench.store.verify(bench.pack) == "ok"
    assert bench.told == ["damage", "repair"]


def test_what_is_in_no_pack_any_more_is_not_asked_for(bench: Bench) -> None:
    peer = bench.links.connect("w2")
    bench.repairs.small(DIGEST)
    bench.packs.places.clear()
    bench.asked(peer, "small").answer(Refused("There is no small file of this digest."))
    bench.loop.advance(2 * RETRY_S)
    assert not peer.open_calls()
    assert not bench.repairs
    bench.repairs.small(DIGEST)
    assert bench.told == ["damage"]


def test_what_is_between_entries_is_laid_anew_without_a_peer(bench: Bench) -> None:
    (place,) = bench.log.pin(1, 0)
    flip(place.path, place.offset - 5)
    stretch = bench.stretch()
    assert stretch is not None
    bench.repairs.stretch(1, stretch)
    bench.repairs.stretch(1, stretch)
    bench.loop.settle()
    assert bench.told == ["damage", "repair"]
    assert bench.looked_at_again == [1]
    assert bench.stretch() is None
    assert not bench.repairs


def test_an_entry_is_mended_before_what_is_around_it(bench: Bench) -> None:
    peer = bench.links.connect("w2")
    (place,) = bench.log.pin(1, 0)
    flip(place.path, place.offset - 5)
    bench.damage_entry()
    stretch = bench.stretch()
    assert stretch is not None
    bench.repairs.stretch(1, stretch)
    bench.asked(peer, "entry").answer({"kind": EntryKind.COMMAND.value}, bench.entry.data)
    bench.loop.settle()
    assert bench.told == ["damage", "repair"]
    assert bench.looked_at_again == [1]
    stretch = bench.stretch()
    assert stretch is not None
    bench.repairs.stretch(1, stretch)
    bench.loop.settle()
    assert bench.told == ["damage", "repair"] * 2
    assert bench.stretch() is None


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 4
    path.write_bytes(data)
