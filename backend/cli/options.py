"""The options that commands share, and how they lead to a client of the right cluster."""

import argparse
import os
from pathlib import Path
from typing import Any

from backend.addresses import Address, parse_address, parse_addresses
from backend.client import ClusterClient
from backend.discovery import look_around
from backend.keys import load_client_key
from backend.local_state import last_started
from shared.discovery import key_mark
from shared.errors import Refused, Unreachable

DEFAULT_TIMEOUT_S = 10.0

Commands = Any
"""The sub-parsers of argparse, whose class is private."""


def add_command(commands: Commands, name: str, help: str, *, cluster: bool = True) -> argparse.ArgumentParser:
    """A new command with --json, and unless `cluster` is False those that say which cluster is meant."""
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=help, description=help[0].upper() + help[1:] + "."
    )
    command.add_argument("--json", action="store_true", help="answer with one JSON document on stdout")
    if cluster:
        add_cluster(command)
        add_timeout(command, DEFAULT_TIMEOUT_S, "seconds to look for a leader")
    return command


def add_cluster(command: argparse.ArgumentParser) -> None:
    """--cluster and --keys."""
    help = "workers of the cluster (default: MINKA_CLUSTER, the local cluster last started, or those found nearby)"
    command.add_argument("--cluster", metavar="HOST:PORT,…", help=help)
    help = "the client.keys of the cluster (default: MINKA_KEYS)"
    command.add_argument("--keys", metavar="FILE", type=Path, help=help)


def add_timeout(command: argparse.ArgumentParser, default_s: float, help: str) -> None:
    """--timeout, in seconds."""
    command.add_argument(
        "--timeout",
        metavar="S",
        type=positive_number,
        default=default_s,
        help=f"{help} (default: {default_s:g})",
    )


def connect(options: argparse.Namespace) -> ClusterClient:
    """A client of the cluster that the options, the environment, or the last start of a local cluster name.

    Raises `Unreachable` when none of them does, `Refused` for what cannot be read.
    """
    addresses, keys = locate(options)
    return ClusterClient(addresses, load_client_key(keys), options.timeout)


def locate(options: argparse.Namespace) -> tuple[tuple[Address, ...], Path]:
    """The workers' addresses and the keys file that are meant. Raises as `connect`."""
    addresses, keys = named(options)
    if addresses and keys:
        return parse_addresses(addresses), Path(keys)
    last = last_started()
    if last is not None:
        return parse_addresses(addresses or last.addresses), Path(keys or last.keys)
    if addresses:
        raise Refused(
            "No keys file was named.", "Name the client.keys of the cluster with --keys or MINKA_KEYS."
        )
    if keys:
        return found_nearby(load_client_key(Path(keys))), Path(keys)
    raise Unreachable(
        "No cluster is known here.",
        'Start one with "minka cluster up --data DIR", or name its workers with --cluster and its keys with --keys.',
    )


def named(options: argparse.Namespace) -> tuple[str | None, str | Path | None]:
    """The addresses and the keys file that the options or the environment name, each None if they do not."""
    return (
        options.cluster or os.environ.get("MINKA_CLUSTER"),
        options.keys or os.environ.get("MINKA_KEYS"),
    )


def found_nearby(key: bytes) -> tuple[Address, ...]:
    """The workers of the cluster of this client key that answer on this computer's networks. Raises `Unreachable`."""
    mark = key_mark(key)
    found = [parse_address(seen.address) for seen in look_around() if seen.key == mark]
    if not found:
        raise Unreachable(
            "No worker of this cluster answers on this network.",
            "Start the workers, or name the address of one.",
        )
    return tuple(found)


def positive_number(text: str) -> float:
    """For argparse: a number above 0, and not endless."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError(text)
    return number


def positive_integer(text: str) -> int:
    """For argparse: a whole number from 1."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def natural_number(text: str) -> int:
    """For argparse: a whole number from 0."""
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number
