"""A worker whose disk can be made slow, or fail: ``python -m tests.live.bad_disk``, with the arguments of `minka-worker`.

While there is a file beside its data directory that is called like it and ends in ``.slow``, each sync takes `SYNC_S`
seconds longer; while one ends in ``.failing``, each sync of a file fails.
"""

import sys
import threading
from pathlib import Path

from worker.__main__ import main
from worker.storage.disk import DiskFailed, OsDisk, OsFile

SYNC_S = 1.2


def run(arguments: list[str]) -> int:
    data = Path(arguments[arguments.index("--data") + 1])
    slow, failing = data.with_suffix(".slow"), data.with_suffix(".failing")
    sync_file, sync_directory = OsFile.sync, OsDisk.sync_directory

    def slowly() -> None:
        if slow.exists():
            threading.Event().wait(SYNC_S)

    def sync_file_badly(self: OsFile) -> None:
        slowly()
        if failing.exists():
            raise DiskFailed(f"{self.path} could not be made durable: the test wants it so.")
        sync_file(self)

    def sync_directory_slowly(self: OsDisk, path: Path) -> None:
        slowly()
        sync_directory(self, path)

    OsFile.sync = sync_file_badly  # type: ignore[method-assign]
    OsDisk.sync_directory = sync_directory_slowly  # type: ignore[method-assign]
    return main(arguments)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
