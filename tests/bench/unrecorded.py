"""A worker that answers predictions after a read index, without a record: what `dev.py bench serving` compares with.

`python -m tests.bench.unrecorded` takes the options of `minka-worker`.
"""

import sys

from shared.errors import MinkaError
from worker.__main__ import main
from worker.serving.journal import Journal, Noted, Notes, Place


def read(journal: Journal, _notes: Notes, noted: Noted) -> None:
    """In place of `Journal.add`."""
    node = journal._node

    def readable(error: MinkaError | None) -> None:
        noted(error or Place(node.registry.applied_index, False))

    node.driver.read(readable)


if __name__ == "__main__":
    Journal.add = read  # type: ignore[method-assign]
    sys.exit(main())
