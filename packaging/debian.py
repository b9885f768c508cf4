"""What the tests need of a Debian or Ubuntu system beyond Python, and how it gets there."""

import os
import shutil
import subprocess
import sys

from terminal import Terminal

# What Qt's web engine loads, a screen in memory, and a browser.
WINDOW = (
    *(
        "xvfb",
        "xauth",
        "libegl1",
        "libgl1",
        "libasound2",
        "libdbus-1-3",
        "libglib2.0-0",
        "libnss3",
        "libudev1",
    ),
    *(
        "libfontconfig1",
        "fonts-dejavu-core",
        "libxcb-cursor0",
        "libxcb-icccm4",
        "libxcb-keysyms1",
        "libxcb-shape0",
    ),
    *("libxcomposite1", "libxdamage1", "libxkbcommon-x11-0", "libxkbfile1", "libxrandr2", "libxtst6"),
    "libgssapi-krb5-2",
)
BROWSER = ("chromium", "curl")
# `ip`, which puts workers on networks of their own; `mount`, `unshare` and `nsenter`, which give them small disks.
MACHINES = ("iproute2", "mount", "util-linux")


class MissingPackages(Exception):
    """These packages are not there, and this user may not install them; the text says what to type."""


def manages_packages() -> bool:
    """Whether this is a system whose packages apt installs."""
    return (
        sys.platform == "linux"
        and shutil.which("apt-get") is not None
        and shutil.which("dpkg-query") is not None
    )


def missing(packages: tuple[str, ...]) -> list[str]:
    """Those of `packages` that are not installed; another package that provides one counts as it."""
    listing = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${db:Status-Status}|${Package}|${Provides}\n"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    installed: set[str] = set()
    for row in listing.splitlines():
        status, name, provides = row.split("|", 2)
        if status == "installed":
            installed.add(name)
            installed.update(part.split()[0] for part in provides.split(",") if part.strip())
    return [package for package in packages if package not in installed]


def install(packages: tuple[str, ...], purpose: str, terminal: Terminal) -> None:
    """Install those of `packages` that are missing. Raises `MissingPackages` when this user may not."""
    absent = missing(packages)
    if not absent:
        return
    if os.geteuid() != 0:
        raise MissingPackages(f"For {purpose}: sudo apt-get install {' '.join(absent)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with terminal.timed(f"system packages for {purpose}: {', '.join(absent)}"):
        for command in (
            ["apt-get", "update", "-qq"],
            ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *absent],
        ):
            result = subprocess.run(
                command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
            )
            if result.returncode != 0:
                reason = (result.stderr or result.stdout).strip()
                raise MissingPackages(f"apt-get could not install {' '.join(absent)}:\n{reason}")
