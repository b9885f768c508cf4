"""A leader's snapshot that this worker's disk has no room for is said once, and goes on when there is room."""

from functools import partial
from types import SimpleNamespace
from typing import Any

from tests.unit.node.fakes import FakeLoop
from worker.installation import RETRY_S, Installation
from worker.registry.commands import Blob
from worker.storage.disk import DiskFull

FULL = DiskFull("0 bytes are free.")


def test_blobs_that_do_not_fit_are_said_once_and_wanted_again() -> None:
    blobs = [Blob("aa" * 32, 70_000), Blob("bb" * 32, 80_000)]
    loop, logged, wanted = FakeLoop(), list[str](), list[str]()
    exchange = SimpleNamespace(want=lambda blob, held: wanted.append(blob.digest))
    node: Any = SimpleNamespace(loop=loop, log=logged.append, exchange=exchange)
    installation = Installation(node)
    installation._wanted = {blob.digest: (blob, partial(installation._held, blob.digest)) for blob in blobs}
    for _ in range(5):
        for blob in blobs:
            installation._held(blob.digest, FULL)
        loop.advance(RETRY_S)
    assert wanted == [blob.digest for blob in blobs] * 5
    assert logged == [f"ALARM: a snapshot names blobs that cannot be stored yet: {FULL}"]
