"""What a packaged program passes on to the programs of the system."""

import os
import sys

import pytest

from backend.processes import systems_libraries

NAME = "LD_LIBRARY_PATH"


@pytest.mark.parametrize("before", [None, "/opt/lib"])
def test_a_packaged_programs_libraries_are_not_for_others(
    monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setenv(NAME, "/opt/Minka/_internal")
    monkeypatch.delenv(f"{NAME}_ORIG", raising=False)
    if before is not None:
        monkeypatch.setenv(f"{NAME}_ORIG", before)
    with systems_libraries():
        assert os.environ.get(NAME) == before
    assert os.environ[NAME] == "/opt/Minka/_internal"


def test_elsewhere_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "/opt/lib")
    with systems_libraries():
        assert os.environ[NAME] == "/opt/lib"
