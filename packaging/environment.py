"""The virtual environment `.venv` at the project's root: made once, brought up to date only when something changed."""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import debian
from terminal import Terminal

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv"
STAMP = FOLDER / "minka-installed.json"
SCRIPTS = FOLDER / ("Scripts" if os.name == "nt" else "bin")
SOURCES = ("pyproject.toml", "constraints.txt")
LAST_LINES = 15


class SetupFailed(Exception):
    """The environment could not be made; the text says why and what to do."""


def program(name: str) -> str:
    """The path of a program of the environment: ``python``, ``minka``, ..."""
    return str(SCRIPTS / (f"{name}.exe" if os.name == "nt" else name))


def prepare(extras: Iterable[str], terminal: Terminal) -> None:
    """Make `.venv` if need be, and install Minka and `extras` in it as `constraints.txt` pins them.

    What is there already counts: nothing is installed when the sources of the installation did not change and the
    extras are there. Raises `SetupFailed`.
    """
    wanted = set(extras)
    if not _works():
        _create(terminal)
    fingerprint = _fingerprint()
    installed, earlier = _installed()
    if installed == fingerprint and wanted <= earlier:
        return
    if installed is not None:
        wanted |= earlier  # an extra that was asked for once stays
    what = f".[{','.join(sorted(wanted))}]" if wanted else "."
    label = f"Minka with {', '.join(sorted(wanted))}" if wanted else "Minka"
    STAMP.unlink(missing_ok=True)
    with terminal.timed(f"installing {label} into {FOLDER.name}"):
        _pip(["install", "--editable", what, "--constraint", "constraints.txt"], terminal)
    STAMP.write_text(
        json.dumps({"fingerprint": fingerprint, "extras": sorted(wanted)}) + "\n", encoding="utf-8"
    )


def _works() -> bool:
    """Whether the environment's Python starts (not once the Python that it was made from has gone) and has pip."""
    if not Path(program("python")).exists():
        return False
    has_pip = "import importlib.util, sys; sys.exit(importlib.util.find_spec('pip') is None)"
    return subprocess.run([program("python"), "-c", has_pip], capture_output=True).returncode == 0


def _create(terminal: Terminal) -> None:
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        _install_venv(terminal)
    with terminal.timed(f"making {FOLDER.name} with Python {sys.version.split()[0]}"):
        result = subprocess.run(
            [sys.executable, "-m", "venv", "--clear", str(FOLDER)], capture_output=True, text=True
        )
    if result.returncode != 0:
        raise SetupFailed(f"Python could not make {FOLDER}:\n{(result.stderr or result.stdout).strip()}")


def _install_venv(terminal: Terminal) -> None:
    """Debian ships Python without the modules that make environments."""
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    if not debian.manages_packages():
        raise SetupFailed(
            f"{sys.executable} lacks the modules venv and ensurepip: install a complete Python 3.11 or newer."
        )
    try:
        debian.install((package,), "making virtual environments", terminal)
    except debian.MissingPackages as error:
        raise SetupFailed(str(error)) from error


def _fingerprint() -> str:
    """SHA-256 over what decides the installation: its sources and where the project lies."""
    digest = hashlib.sha256(str(ROOT).encode())
    for name in SOURCES:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def _installed() -> tuple[str | None, set[str]]:
    """Fingerprint and extras of the last installation that ended well."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
        return str(stamp["fingerprint"]), set(stamp["extras"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, set()


def _pip(arguments: list[str], terminal: Terminal) -> None:
    """Run the environment's pip, showing its last line as the status. Raises `SetupFailed` with the end of what it said."""
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    said: list[str] = []
    with subprocess.Popen(
        [program("python"), "-m", "pip", "--no-input", *arguments, "--progress-bar", "off"],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for text in process.stdout:
            said.append(text.rstrip())
            terminal.status(said[-1].strip())
    if process.returncode != 0:
        raise SetupFailed("pip could not install what Minka needs:\n" + "\n".join(said[-LAST_LINES:]))
