"""Workers whose disks are small file systems of their own, which a test can fill: tmpfs in a mount namespace.

One process holds the namespace, so that the disks outlive the workers; when it ends, nothing of them is left. Through its
view of the file system this process reaches them. Making such a namespace needs root, `unshare` and `nsenter` (util-linux).
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from tests.live.cluster import LiveCluster

DISK_BYTES = 160 * 1_048_576
"""A worker sets 32 MiB aside when 64 are free."""
PIECE_BYTES = 64 * 1024
BALLAST = "ballast"


def may_be_made() -> bool:
    """Whether this user can have such disks. Where tests must not be left out, it is for the test to find out."""
    tools = all(shutil.which(tool) for tool in ("unshare", "nsenter", "mount"))
    rooted = os.name == "posix" and os.geteuid() == 0 and tools
    return rooted or os.environ.get("CI") == "true"


class SmallDisks(LiveCluster):
    """Every worker has a disk of its own for its data."""

    def __init__(self, directory: Path, size: int, cores: int = 1, options: Sequence[str] = ()) -> None:
        super().__init__(directory, size, cores, options)
        for id in self.ids:
            (directory / id).mkdir()
        mounts = "".join(
            f"mount -t tmpfs -o size={DISK_BYTES} disk '{directory / id}' && " for id in self.ids
        )
        # It lives as long as its standard input: it ends with this process, however that ends.
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", f"{mounts} echo && exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline(), "the disks were not mounted"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._holder.kill()
        self._holder.communicate()

    def command(self, id: str) -> list[str]:
        namespace = f"--mount=/proc/{self._holder.pid}/ns/mnt"
        return ["nsenter", namespace, f"--wd={Path.cwd()}", *super().command(id)]

    def disk(self, id: str) -> Path:
        """The data directory of this worker, as this process sees it."""
        return Path(f"/proc/{self._holder.pid}/root{self.directory / id}")

    def fill(self, id: str) -> None:
        """Leave no space on this disk, but for the worker's reserve: once it gives that up, no more is taken."""
        with open(self.disk(id) / BALLAST, "ab", buffering=0) as ballast, contextlib.suppress(OSError):
            while self.has_reserve(id):
                ballast.write(bytes(PIECE_BYTES))

    def fill_whole(self, id: str) -> None:
        """Leave no space at all, not even what the worker has set aside and given up."""
        with open(self.disk(id) / BALLAST, "ab", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(PIECE_BYTES))

    def has_reserve(self, id: str) -> bool:
        """Whether this worker has not given up its reserve."""
        return (self.disk(id) / "reserve").exists()

    def make_room(self, id: str) -> None:
        (self.disk(id) / BALLAST).unlink()
