"""Programs that need no Python: the app and the headless worker, as PyInstaller builds them from the specs in `builds/`."""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import debian
import environment
from terminal import Terminal

SPECS = environment.ROOT / "packaging" / "builds"
BUILT = environment.ROOT / "dist"
PROGRAMS = ("Minka", "minka-worker")
HANDS = ("xdotool",)
"""Debian's package that moves the mouse under X."""
LIMIT_BYTES = 450_000_000
"""Of the app, unpacked."""


class PackageFailed(Exception):
    """A build is not what it should be; the text says which and why."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `dev.py package`."""
    parser.add_argument("--no-check", action="store_true", help="do not start what was built")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="where a picture of the window goes")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Build both programs into `dist/`, and drive them. Raises `PackageFailed`."""
    environment.prepare(["package"] if options.no_check else ["package", "test"], terminal)
    shutil.rmtree(BUILT, ignore_errors=True)
    for spec in ("minka", "minka-worker"):
        with terminal.timed(f"building {spec}"):
            _build(SPECS / f"{spec}.spec")
    for name in PROGRAMS:
        _strip(BUILT / name)
    if sys.platform == "linux":
        _furnish(BUILT / "Minka")
    for name in PROGRAMS:
        terminal.line(f"  {BUILT / name}: {_size(BUILT / name) / 1e6:.0f} MB")
    if _size(BUILT / "Minka") > LIMIT_BYTES:
        raise PackageFailed(f"the app takes more than {LIMIT_BYTES / 1e6:.0f} MB")
    return 0 if options.no_check else _drive(options.picture, terminal)


def _build(spec: Path) -> None:
    command = [environment.program("python"), "-m", "PyInstaller", "--noconfirm", "--log-level", "ERROR"]
    where = ["--distpath", str(BUILT), "--workpath", str(environment.ROOT / "build")]
    ran = subprocess.run([*command, *where, str(spec)], cwd=environment.ROOT, capture_output=True, text=True)
    if ran.returncode:
        raise PackageFailed(f"PyInstaller could not build {spec.name}:\n{ran.stderr.strip()}")


def _strip(folder: Path) -> None:
    """Python's own library may carry what debuggers need: three quarters of its bytes."""
    strip = shutil.which("strip") if sys.platform == "linux" else None
    for library in folder.glob("_internal/libpython*") if strip else ():
        subprocess.run([str(strip), "--strip-unneeded", library], check=True)


def _furnish(folder: Path) -> None:
    """What a Linux desktop needs to show the app among the others."""
    shutil.copy(environment.ROOT / "frontend" / "common" / "icon.png", folder / "minka.png")
    for name in ("minka.desktop", "add-to-menu.sh"):
        shutil.copy(SPECS / name, folder / name)
    os.chmod(folder / "add-to-menu.sh", 0o755)


def _size(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())


def _drive(picture: Path | None, terminal: Terminal) -> int:
    if debian.manages_packages():
        try:
            debian.install((*debian.WINDOW, *debian.BROWSER, *HANDS), "driving the window", terminal)
        except debian.MissingPackages as error:
            raise PackageFailed(str(error)) from error
    command = [environment.program("python"), "-m", "tests.packaged", str(BUILT)]
    command += [str(picture)] if picture else []
    return subprocess.run(command, cwd=environment.ROOT).returncode
