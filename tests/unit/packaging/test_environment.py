"""The environment is brought up to date only when something changed."""

import io
from pathlib import Path

import environment
import pytest
from terminal import Terminal


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What pip was asked to install, in a project of two files."""
    for name in environment.SOURCES:
        (tmp_path / name).write_text("first\n", encoding="utf-8")
    asked: list[str] = []
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "STAMP", tmp_path / "stamp.json")
    monkeypatch.setattr(environment, "_works", lambda: True)
    monkeypatch.setattr(environment, "_pip", lambda arguments, terminal: asked.append(arguments[2]))
    return asked


def prepare(*extras: str) -> None:
    environment.prepare(extras, Terminal(io.StringIO()))


def test_nothing_is_installed_twice(installed: list[str]) -> None:
    prepare()
    prepare()
    assert installed == ["."]


def test_an_extra_is_added_and_stays(installed: list[str]) -> None:
    prepare("test")
    prepare()
    prepare("desktop")
    prepare("test")
    assert installed == [".[test]", ".[desktop,test]"]


def test_a_changed_pin_is_installed_with_the_extras_of_before(installed: list[str], tmp_path: Path) -> None:
    prepare("test")
    (tmp_path / "constraints.txt").write_text("second\n", encoding="utf-8")
    prepare()
    assert installed == [".[test]", ".[test]"]


def test_an_installation_that_failed_is_tried_again(
    installed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare()

    def fail(arguments: list[str], terminal: Terminal) -> None:
        raise environment.SetupFailed("no network")

    with monkeypatch.context() as patch:
        patch.setattr(environment, "_pip", fail)
        with pytest.raises(environment.SetupFailed):
            prepare("test")
    prepare()
    assert installed == [".", "."]


def test_a_damaged_stamp_counts_as_none(installed: list[str]) -> None:
    prepare()
    environment.STAMP.write_text("[]", encoding="utf-8")
    prepare()
    assert installed == [".", "."]
