"""Which cluster a command uses: with a key and no address, the one of that key that answers nearby."""

import argparse
import json
from pathlib import Path

import pytest

from backend.cli import options
from shared.discovery import Sighting, key_mark
from shared.errors import Unreachable

KEY, OTHER = b"k" * 32, b"o" * 32


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A keys file, on a computer that knows nothing else."""
    for name in ("MINKA_CLUSTER", "MINKA_KEYS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(options, "last_started", lambda: None)
    path = tmp_path / "client.keys"
    path.write_text(json.dumps({"client": KEY.hex()}))
    return path


def located(keys: Path | None) -> tuple[tuple[str, int], ...]:
    return options.locate(argparse.Namespace(cluster=None, keys=keys))[0]


def test_a_key_alone_finds_the_workers_of_its_cluster(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = [
        Sighting("c", key_mark(KEY), "w1", "10.0.0.1:7400"),
        Sighting("d", key_mark(OTHER), "v1", "10.0.0.9:7400"),
        Sighting("c", key_mark(KEY), "w2", "10.0.0.2:7400"),
    ]
    monkeypatch.setattr(options, "look_around", lambda: seen)
    assert located(keys) == (("10.0.0.1", 7400), ("10.0.0.2", 7400))


def test_nobody_nearby_is_said_with_what_to_do(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "look_around", list)
    with pytest.raises(Unreachable, match="No worker of this cluster answers") as caught:
        located(keys)
    assert "name the address" in caught.value.advice


def test_without_a_key_nobody_is_asked(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "look_around", lambda: pytest.fail("the network was asked"))
    with pytest.raises(Unreachable, match="No cluster is known"):
        located(None)
