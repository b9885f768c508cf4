"""A data directory belongs to one worker of one cluster, for good."""

import dataclasses
import json
from pathlib import Path

import pytest

from shared.errors import Refused
from worker.storage.disk import Corrupt, OsDisk
from worker.storage.identity import FILE_NAME, Identity, establish, learn_cluster, open_identity

DISK = OsDisk()


def test_an_identity_survives_and_incarnations_differ(tmp_path: Path) -> None:
    first = open_identity(DISK, tmp_path / "a", "w1", "c1")
    assert open_identity(DISK, tmp_path / "a", "w1", "c1") == first
    assert open_identity(DISK, tmp_path / "a", "w1") == first
    assert open_identity(DISK, tmp_path / "b", "w1", "c1").incarnation != first.incarnation
    assert not first.established


def test_a_directory_of_another_worker_or_cluster_is_refused(tmp_path: Path) -> None:
    open_identity(DISK, tmp_path, "w1", "c1")
    with pytest.raises(Refused, match="belongs to worker 'w1', not to 'w2'"):
        open_identity(DISK, tmp_path, "w2", "c1")
    with pytest.raises(Refused, match="belongs to cluster c1, not to c2"):
        open_identity(DISK, tmp_path, "w1", "c2")


def test_the_cluster_is_learned_once(tmp_path: Path) -> None:
    me = open_identity(DISK, tmp_path, "w1")
    assert me.cluster == ""
    me = learn_cluster(DISK, tmp_path, me, "c1")
    assert learn_cluster(DISK, tmp_path, me, "c1") == me
    with pytest.raises(Refused, match="belongs to cluster c1"):
        learn_cluster(DISK, tmp_path, me, "c2")
    assert open_identity(DISK, tmp_path, "w1").cluster == "c1"


def test_that_the_log_exists_is_remembered(tmp_path: Path) -> None:
    me = establish(DISK, tmp_path, open_identity(DISK, tmp_path, "w1"))
    assert establish(DISK, tmp_path, me) is me
    assert open_identity(DISK, tmp_path, "w1").established


def test_a_worker_needs_an_id_of_sensible_length(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="needs an id"):
        open_identity(DISK, tmp_path, "")
    with pytest.raises(Refused, match="longer than"):
        Identity("", "w" * 129, "")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 1}', "\xff", json.dumps({"format": 1, "worker": 3})]
)
def test_what_is_no_identity_is_corrupt(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text, encoding="latin-1")
    with pytest.raises(Corrupt, match="not an identity"):
        open_identity(DISK, tmp_path, "w1")


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    me = open_identity(DISK, tmp_path, "w1")
    (tmp_path / FILE_NAME).write_text(json.dumps({"format": 2, **dataclasses.asdict(me)}))
    with pytest.raises(Refused, match="format 2"):
        open_identity(DISK, tmp_path, "w1")
