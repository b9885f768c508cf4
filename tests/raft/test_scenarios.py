"""Golden transcripts: a change of behaviour is a diff. ``MINKA_REWRITE_SCENARIOS=1`` writes them anew, for review."""

import os
from pathlib import Path

import pytest

from tests.raft.transcript import replay

SCENARIOS = sorted((Path(__file__).parent / "scenarios").glob("*.txt"))


@pytest.mark.parametrize("path", SCENARIOS, ids=[path.stem for path in SCENARIOS])
def test_transcript_is_as_written(path: Path) -> None:
    written = path.read_text(encoding="utf-8")
    replayed = replay(written)
    if os.environ.get("MINKA_REWRITE_SCENARIOS"):
        path.write_text(replayed, encoding="utf-8")
        return
    assert replayed == written


def test_there_are_scenarios() -> None:
    assert SCENARIOS
