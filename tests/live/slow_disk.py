"""A worker whose disk can be made slow: ``python -m tests.live.slow_disk``, with the arguments of `minka-worker`.

While there is a file beside its data directory that is called like it and ends in ``.slow``, each sync takes `SYNC_S`
seconds longer.
"""

import sys
import threading
from pathlib import Path

from worker.__main__ import main
from worker.storage.disk import OsDisk, OsFile

SYNC_S = 1.2


def run(arguments: list[str]) -> int:
    flag = Path(arguments[arguments.index("--data") + 1]).with_suffix(".slow")
    sync_file, sync_directory = OsFile.sync, OsDisk.sync_directory

    def slowly() -> None:
        if flag.exists():
            threading.Event().wait(SYNC_S)

    def sync_file_slowly(self: OsFile) -> None:
        slowly()
        sync_file(self)

    def sync_directory_slowly(self: OsDisk, path: Path) -> None:
        slowly()
        sync_directory(self, path)

    OsFile.sync = sync_file_slowly  # type: ignore[method-assign]
    OsDisk.sync_directory = sync_directory_slowly  # type: ignore[method-assign]
    return main(arguments)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
