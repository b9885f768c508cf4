"""put · ls · rm · get · verify."""

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from backend.cli.console import Console, Outcome, counted, moment, printable, short, size, table
from backend.cli.options import Commands, add_command, connect
from backend.cli.progress import TransferMeter
from backend.client import ClusterClient
from backend.listings import all_files, verified
from backend.local_names import free_path
from backend.transfers import Progress, checked_name, download, upload
from shared.errors import Refused
from shared.messages import FindFile, Remove

UPLOADS_AT_ONCE = 4


def add_commands(commands: Commands) -> None:
    """Add this family to the parser."""
    put = add_command(commands, "put", "put files into the cluster")
    put.add_argument("paths", metavar="PATH", type=Path, nargs="+")
    put.set_defaults(run=run_put)
    ls = add_command(commands, "ls", "list the files in the cluster")
    ls.set_defaults(run=run_ls)
    rm = add_command(commands, "rm", "remove a file from the cluster")
    rm.add_argument("files", metavar="FILE", nargs="+", help="an id, or a name if only one file has it")
    rm.set_defaults(run=run_rm)
    get = add_command(commands, "get", "download a file from the cluster")
    get.add_argument("file", metavar="FILE", help="an id, or a name if only one file has it")
    get.add_argument(
        "-o", "--output", metavar="PATH", type=Path, required=True, help="a file, or a directory to put it in"
    )
    get.set_defaults(run=run_get)
    verify = add_command(commands, "verify", "hash every file and model again on every worker")
    verify.set_defaults(run=run_verify)


def run_put(options: argparse.Namespace, console: Console) -> Outcome:
    """All paths are looked at before the first is uploaded."""
    sizes = [checked_file(path) for path in options.paths]
    meter = _SharedMeter(TransferMeter(console.progress, f"uploading {counted(len(sizes), 'file')}"), sizes)
    with connect(options) as client, ThreadPoolExecutor(UPLOADS_AT_ONCE) as threads:
        uploads = [
            threads.submit(upload, client, path, path.name, meter.of(position))
            for position, path in enumerate(options.paths)
        ]
        try:
            rows = [each.result() for each in uploads]
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
    shown = [(row["id"], row["name"], size(row["bytes"]), short(row["digest"])) for row in rows]
    text = table(("ID", "NAME", "SIZE", "SHA-256"), shown)
    return Outcome({"files": [_contract_row(row) for row in rows]}, text)


def run_ls(options: argparse.Namespace, _console: Console) -> Outcome:
    """All files, by id."""
    with connect(options) as client:
        rows = list(all_files(client))
    shown = [
        (
            row["id"],
            row["name"],
            size(row["bytes"]),
            short(row["digest"]),
            moment(row["created"]),
            " ".join(row["holders"]),
        )
        for row in rows
    ]
    text = table(("ID", "NAME", "SIZE", "SHA-256", "CREATED", "HELD BY"), shown) if rows else "no files yet"
    keys = ("created", "holders")
    return Outcome({"files": [_contract_row(row) | {key: row[key] for key in keys} for row in rows]}, text)


def run_rm(options: argparse.Namespace, _console: Console) -> Outcome:
    """The files are all found before the first is removed."""
    with connect(options) as client:

        def remove(row: dict[str, Any]) -> dict[str, Any]:
            gone: dict[str, Any] = client.command(lambda ticket: Remove(ticket, row["id"])).header["file"]
            return gone

        removed = [remove(row) for row in [find_file(client, file) for file in options.files]]
    text = "\n".join(f"removed {row['id']}  {printable(row['name'])}" for row in removed)
    return Outcome({"removed": removed}, text)


def run_get(options: argparse.Namespace, console: Console) -> Outcome:
    """The target appears whole and verified, or not at all."""
    target: Path = options.output
    with connect(options) as client:
        row = find_file(client, options.file)
        if target.is_dir():
            target = free_path(target, row["name"], f"file-{row['id']}")
        if not target.parent.is_dir():
            raise Refused(f"{target.parent} is not a directory.", "Make it first.")
        got = download(
            client, row, target, TransferMeter(console.progress, f"downloading {printable(row['name'])}")
        )
    text = f"{got.path}  {size(got.size_bytes)}  {short(got.digest)}"
    return Outcome({"path": str(got.path), "bytes": got.size_bytes, "digest": got.digest}, text)


def run_verify(options: argparse.Namespace, console: Console) -> Outcome:
    """Bad news, which is exit code 1, where any copy is missing or corrupt."""
    console.progress.update("every worker reads all it holds …")
    with connect(options) as client:
        rows = list(verified(client))
    files = [{key: row[key] for key in ("id", "digest", "holders")} for row in rows]
    workers = sorted({id for row in files for id in row["holders"]})
    shown = [
        (str(row["id"]), row["name"], short(row["digest"]), *(row["holders"].get(id) for id in workers))
        for row in rows
    ]
    text = table(("ID", "NAME", "SHA-256", *workers), shown)
    bad = sum(any(state != "ok" for state in row["holders"].values()) for row in files)
    failure = None
    if bad:
        failure = f"{bad} of {counted(len(files), 'item')} are not whole on every worker."
    return Outcome({"equal": not bad, "files": files}, text, failure)


def find_file(client: ClusterClient, file: str) -> dict[str, Any]:
    """The row of a file named by id, or by a name that only one has. Raises `Refused`."""
    row: dict[str, Any] = client.call(FindFile(file)).header["file"]
    return row


def checked_file(path: Path) -> int:
    """The size in bytes of a local file that can be uploaded. Raises `Refused` for anything else."""
    try:
        if path.is_dir():
            raise Refused(f"{path} is a directory.", "Name the files in it.")
        with open(path, "rb") as stream:
            size_bytes = stream.seek(0, 2)
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror or error}.") from error
    checked_name(path.name)
    return size_bytes


def _contract_row(row: dict[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in ("id", "name", "bytes", "digest", "index")}


class _SharedMeter:
    """Several transfers as one."""

    def __init__(self, meter: Progress, sizes: list[int]) -> None:
        self._meter = meter
        self._done = [0] * len(sizes)
        self._total = sum(sizes)

    def of(self, position: int) -> Progress:
        """The progress of one of them."""

        def progress(done: int, _total: int) -> None:
            self._done[position] = done
            self._meter(sum(self._done), self._total)

        return progress
