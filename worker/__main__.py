"""The command line of one worker: ``minka-worker``, or ``python -m worker``."""

import argparse
import gc
import os
import runpy
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from shared.errors import MinkaError, Refused
from shared.handshake import MAX_IDENTITY_BYTES
from worker.children import CHILD_FLAG
from worker.descriptors import allow_enough
from worker.raft.entries import MAX_MEMBERS
from worker.settings import Settings, read_address, read_keys, read_password, read_peers

T = TypeVar("T")
QUOTA_LEAST_BYTES = 64 * 1_048_576
"""For the reserve, a log and its snapshots."""
SWITCH_S = 0.001 if sys.platform == "win32" else 0.0005
"""How soon a thread that waits for the interpreter's lock is given it. Python's own 5 ms would pass twice in each round of
the log, while the node thread applies entries: before the log writer begins, and before it can say that it is done. Windows
counts whole milliseconds."""
COLLECT_AT = (20_000, 20, 50)
"""New objects until they are searched for cycles, and how many such searches until older ones are, too. What an entry leaves
behind stays for good; Python's own 700 would search it after every other batch."""
CHILD_MODULES = ("worker.training.trainer", "worker.serving.predictor", "worker.monitor", "worker.compaction")


def main(arguments: list[str] | None = None) -> int:
    """Run one worker in the foreground. Returns 0 after a clean stop, 1 when it could not go on, 2 for wrong usage."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == [CHILD_FLAG] and given[1:2] and given[1] in CHILD_MODULES:
        runpy.run_module(given[1], run_name="__main__", alter_sys=True)
        return 0
    parsed = _parser().parse_args(given)
    from worker.node import Node

    try:
        _when_asked_to_stop(_interrupt)
        allow_enough()
        sys.setswitchinterval(SWITCH_S)
        gc.set_threshold(*COLLECT_AT)
        node = Node(_settings(parsed))
        _when_asked_to_stop(node.stop)
        node.run()
    except KeyboardInterrupt:
        return 0  # while it was starting: nothing was promised to anyone yet
    except MinkaError as error:
        print(f"minka-worker: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        where = f" {error.filename}:" if error.filename is not None else ""
        print(f"minka-worker: The system refused:{where} {error.strerror or error}.", file=sys.stderr)
        return 1
    return 0


def _when_asked_to_stop(stop: Callable[[], None]) -> None:
    """Ctrl-C, Ctrl-Break, the end of a session, or a supervisor."""
    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: stop())


def _interrupt() -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="minka-worker", description="One worker of a Minka cluster. Ctrl-C stops it cleanly."
    )
    address: dict[str, Any] = {"type": _checked(read_address), "metavar": "HOST:PORT"}
    parser.add_argument("--id", required=True, help="the name of this worker, unique in the cluster")
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="where it keeps everything")
    parser.add_argument("--listen", required=True, help="where workers and clients reach it", **address)
    parser.add_argument("--monitor", required=True, help="where browsers reach its monitor", **address)
    parser.add_argument(
        "--peers",
        required=True,
        type=_checked(read_peers),
        metavar="ID=HOST:PORT,…",
        help="all workers of the cluster, this one included: the same on each of them",
    )
    parser.add_argument(
        "--keys", required=True, type=Path, metavar="FILE", help="cluster.keys, from `minka keys new`"
    )
    parser.add_argument("--advertise", help="the address that others are told, if not --listen", **address)
    parser.add_argument(
        "--cores",
        type=int,
        default=os.cpu_count() or 1,
        metavar="C",
        help="processes that train (default: all cores)",
    )
    parser.add_argument(
        "--monitor-password",
        type=Path,
        metavar="FILE",
        help="a file with the password that the monitor asks for (default: it asks for none)",
    )
    parser.add_argument(
        "--quota",
        type=int,
        metavar="BYTES",
        help="the most its folder may hold (default: what its disk holds)",
    )
    for name, kind in (
        ("--compact-entries", int),
        ("--compact-bytes", int),
        ("--blob-idle", float),
        ("--scrub-pause", float),
    ):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    return parser


def _checked(read: Callable[[str], T]) -> Callable[[str], T]:
    """A reader whose ValueError becomes argparse's own message."""

    def convert(text: str) -> T:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return convert


def _settings(parsed: argparse.Namespace) -> Settings:
    peers = parsed.peers
    if parsed.id not in peers:
        raise Refused(
            f"--peers does not name this worker, {parsed.id!r}.", "List all workers there, this one too."
        )
    for peer in peers:
        if len(peer.encode()) > MAX_IDENTITY_BYTES or not peer.isprintable():
            raise Refused(f"{peer[:80]!r} is no name for a worker.", "Use a few letters and digits.")
    if len(peers) > MAX_MEMBERS:
        raise Refused(f"--peers names {len(peers)} workers.", f"A cluster has at most {MAX_MEMBERS}.")
    if not 1 <= parsed.cores <= 1_024:
        raise Refused(f"--cores is {parsed.cores}.", "Give a number from 1 to 1024.")
    if parsed.quota is not None and parsed.quota < QUOTA_LEAST_BYTES:
        raise Refused(f"--quota is {parsed.quota}.", f"Give at least {QUOTA_LEAST_BYTES} bytes.")
    settings = Settings(
        id=parsed.id,
        data=parsed.data.absolute(),
        listen=parsed.listen,
        advertise=parsed.advertise or peers[parsed.id],
        monitor=parsed.monitor,
        peers=peers,
        keys=read_keys(parsed.keys),
        cores=parsed.cores,
        quota_bytes=parsed.quota,
        monitor_password=None if parsed.monitor_password is None else read_password(parsed.monitor_password),
    )
    given = {
        "compact_entries": parsed.compact_entries,
        "compact_bytes": parsed.compact_bytes,
        "blob_idle_s": parsed.blob_idle,
        "scrub_pause_s": parsed.scrub_pause,
    }
    return replace(settings, **{name: value for name, value in given.items() if value is not None})


if __name__ == "__main__":
    sys.exit(main())
