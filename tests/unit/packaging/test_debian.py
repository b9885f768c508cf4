"""What is missing of a Debian system is installed as root, and named to everybody else."""

import io
import subprocess
from typing import Any

import debian
import environment
import pytest
from terminal import Terminal

LISTING = """\
installed|libc6|
installed|libgl1-mesa-glx|libgl1 (= 1.7), libgl-dev
deinstalled|xvfb|
"""


class System:
    """Answers for dpkg and apt; `commands` is what was run of apt."""

    def __init__(self, apt_code: int = 0) -> None:
        self.commands: list[list[str]] = []
        self.apt_code = apt_code

    def run(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        if command[0] == "dpkg-query":
            return subprocess.CompletedProcess(command, 0, LISTING, "")
        self.commands.append(command)
        return subprocess.CompletedProcess(command, self.apt_code, "", "E: no such package")


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> System:
    """Debian, as root."""
    answers = System()
    monkeypatch.setattr(subprocess, "run", answers.run)
    monkeypatch.setattr("os.geteuid", lambda: 0, raising=False)
    return answers


def install(*packages: str) -> None:
    debian.install(packages, "the tests", Terminal(io.StringIO()))


def test_a_provided_package_counts_and_a_removed_one_does_not(system: System) -> None:
    assert debian.missing(("libc6", "libgl1", "xvfb", "chromium")) == ["xvfb", "chromium"]


def test_only_what_is_missing_is_installed(system: System) -> None:
    install("libc6", "xvfb")
    assert [command[:2] for command in system.commands] == [["apt-get", "update"], ["apt-get", "install"]]
    assert system.commands[1][-1] == "xvfb"
    assert "libc6" not in system.commands[1]


def test_apt_is_left_alone_when_all_is_there(system: System) -> None:
    install("libc6")
    assert system.commands == []


def test_who_may_not_install_is_told_what_to_type(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000, raising=False)
    with pytest.raises(debian.MissingPackages, match="sudo apt-get install xvfb"):
        install("libc6", "xvfb")
    assert system.commands == []


def test_what_apt_says_is_passed_on(system: System) -> None:
    system.apt_code = 100
    with pytest.raises(debian.MissingPackages, match="no such package"):
        install("xvfb")


def test_a_python_without_venv_gets_it_from_debian(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "manages_packages", lambda: True)
    environment._install_venv(Terminal(io.StringIO()))
    assert system.commands[1][-1].endswith("-venv")


def test_a_python_without_venv_elsewhere_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "manages_packages", lambda: False)
    with pytest.raises(environment.SetupFailed, match="lacks the modules venv and ensurepip"):
        environment._install_venv(Terminal(io.StringIO()))
