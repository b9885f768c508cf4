"""Which cluster the window uses, and what is kept of a person's choice."""

import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backend.desktop.choices import ChoiceFile, Choices
from backend.desktop.finder import ClusterFinder, read_key
from backend.desktop.link import NoCluster
from backend.local_state import LastStarted
from shared.discovery import Sighting, key_mark
from shared.errors import Refused, Unreachable

KEY, OTHER = b"k" * 32, b"o" * 32


def seen(worker: str, address: str, key: bytes = KEY) -> Sighting:
    return Sighting(f"cluster of {key_mark(key)}", key_mark(key), worker, address)


class Bench:
    """A finder whose network, clock and start are the test's."""

    def __init__(self, folder: Path) -> None:
        self.choices = ChoiceFile(folder / "desktop.json")
        self.named: tuple[str | None, Path | None] = (None, None)
        self.local: LastStarted | None = None
        self.network: list[Sighting] = []
        self.looks = 0
        self.now = 100.0
        self.finder = ClusterFinder(
            lambda: self.named, self.choices, self.look, lambda: self.local, lambda: self.now
        )

    def look(self, enough: Callable[[Sighting], bool] = lambda _: False, **_: Any) -> list[Sighting]:
        self.looks += 1
        return self.network


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "client.keys"
    path.write_text(json.dumps({"client": KEY.hex()}))
    return path


def test_nothing_known_is_told_apart_from_nobody_there(bench: Bench) -> None:
    with pytest.raises(NoCluster):
        bench.finder()
    bench.choices.change(key=KEY.hex())
    with pytest.raises(Unreachable, match="No worker of this cluster answers") as caught:
        bench.finder()
    assert not isinstance(caught.value, NoCluster)


def test_what_the_start_names_goes_first_then_the_choice_then_the_local_cluster(
    bench: Bench, keys: Path
) -> None:
    bench.local = LastStarted("data", "127.0.0.1:1", str(keys))
    assert bench.finder().addresses == (("127.0.0.1", 1),)
    assert bench.finder.public()["source"] == "local"
    bench.finder.choose("10.0.0.2:7400", OTHER.hex())
    assert (bench.finder().addresses, bench.finder().key) == ((("10.0.0.2", 7400),), OTHER)
    bench.named = ("10.0.0.3:7400", keys)
    assert (bench.finder().addresses, bench.finder().key) == ((("10.0.0.3", 7400),), KEY)


def test_a_key_alone_finds_its_cluster_and_no_other(bench: Bench) -> None:
    bench.network = [seen("w1", "10.0.0.1:7400"), seen("w9", "10.0.0.9:7400", OTHER)]
    bench.finder.choose("", KEY.hex())
    assert bench.finder().addresses == (("10.0.0.1", 7400),)


def test_the_answer_stays_while_one_of_the_workers_is_still_there(bench: Bench) -> None:
    bench.network = [seen("w1", "10.0.0.1:7400"), seen("w2", "10.0.0.2:7400")]
    bench.finder.choose("", KEY.hex())
    first = bench.finder()
    bench.network = [seen("w2", "10.0.0.2:7400"), seen("w3", "10.0.0.3:7400")]
    assert bench.finder() == first
    assert bench.looks == 1, "it does not ask the network at every turn"
    bench.now += 60
    assert bench.finder() == first
    bench.network = []
    bench.now += 60
    assert bench.finder() == first, "a datagram that got lost changes nothing"
    bench.network = [seen("w3", "10.0.0.3:7400")]
    bench.now += 60
    assert bench.finder().addresses == (("10.0.0.3", 7400),)


def test_clusters_nearby_are_told_with_whether_their_key_is_here(bench: Bench) -> None:
    bench.finder.choose("10.0.0.1:7400", KEY.hex())
    bench.network = [
        seen("w1", "10.0.0.1:7400"),
        seen("w2", "10.0.0.2:7400"),
        seen("v1", "10.0.0.9:7400", OTHER),
    ]
    ours, theirs = bench.finder.nearby()
    assert (ours["known"], [each["id"] for each in ours["workers"]]) == (True, ["w1", "w2"])
    assert (theirs["known"], theirs["workers"]) == (False, [{"id": "v1", "address": "10.0.0.9:7400"}])


@pytest.mark.parametrize(
    ("addresses", "key", "words"),
    [
        ("nowhere", KEY.hex(), "is not the address"),
        ("h:7400", "ab", "not a key of Minka"),
        ("h:7400", '{"client": 5}', "not a key of Minka"),
        ("h:7400", None, "Without its key"),
    ],
)
def test_a_choice_that_cannot_work_is_refused_and_not_kept(
    bench: Bench, addresses: str, key: str | None, words: str
) -> None:
    with pytest.raises(Refused, match=words):
        bench.finder.choose(addresses, key)
    assert bench.choices.get() == Choices()


def test_the_key_of_another_cluster_than_the_one_that_was_picked_is_refused(bench: Bench) -> None:
    with pytest.raises(Refused, match="opens another cluster"):
        bench.finder.choose("", KEY.hex(), key_mark(OTHER))
    bench.finder.choose("", KEY.hex(), key_mark(KEY))
    assert bench.choices.get().key == KEY.hex()


def test_a_key_is_taken_in_hex_or_as_the_content_of_its_file() -> None:
    assert read_key(f" {KEY.hex()}\n") == KEY
    assert read_key(json.dumps({"cluster": OTHER.hex(), "client": KEY.hex()})) == KEY


class TestTheFile:
    def test_the_key_is_accepted_once_and_kept_for_the_user_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "deep" / "desktop.json"
        ChoiceFile(path).change(key=KEY.hex(), theme="dark")
        assert ChoiceFile(path).get() == Choices(key=KEY.hex(), theme="dark")
        if sys.platform != "win32":
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o600

    @pytest.mark.parametrize(
        "text", ["", "{", "[]", '{"key": "zz"}', '{"key": "ab"}', '{"theme": "pink"}', "[" * 9999]
    )
    def test_a_file_that_cannot_be_understood_is_as_none(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "desktop.json"
        path.write_text(text)
        assert ChoiceFile(path).get() == Choices()

    def test_a_disk_that_refuses_is_told_and_changes_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        choices = ChoiceFile(tmp_path / "file" / "desktop.json")
        with pytest.raises(Refused, match="cannot be kept"):
            choices.change(theme="dark")
        assert choices.get() == Choices()
