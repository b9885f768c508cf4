"""A worker whose leader forges: ``python -m tests.live.forger``, with the arguments of `minka-worker`.

When it leads a job, one bit of the average after round `ROUND` is another than what the shards have computed.
"""

import hashlib
import sys
from collections.abc import Callable, Sequence

from tests.live.cluster import LiveCluster
from worker.__main__ import main
from worker.training import averaging, job

ROUND = 2


class Forgers(LiveCluster):
    """Every worker forges while it leads."""

    def command(self, id: str) -> list[str]:
        command = super().command(id)
        command[command.index("worker")] = "tests.live.forger"
        return command


def run(arguments: list[str]) -> int:
    averaged = 0

    def forge(
        compute: averaging.Compute,
        states: Sequence[bytes],
        done: averaging.Averaged,
        holds: Callable[[object], bool],
    ) -> None:
        def forged(state: bytes, digest: str) -> None:
            nonlocal averaged
            averaged += 1
            if averaged == ROUND:
                state = state[:-1] + bytes([state[-1] ^ 1])
                digest = hashlib.sha256(state).hexdigest()
            done(state, digest)

        averaging.average(compute, states, forged, holds)

    job.average = forge  # type: ignore[attr-defined]  # where the job has imported it
    return main(arguments)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
