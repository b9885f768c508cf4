"""Commands as bytes of the log: what is written can be read, and what cannot be read stops a worker clearly."""

import contextlib
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ProtocolViolation
from shared.evaluations import Evaluation, WrongAnswer
from shared.messages import Ticket
from worker.registry import commands
from worker.registry.commands import Blob, Command, UnknownCommand

TICKET = Ticket(1, 2, 3)
BLOB = Blob("ab" * 32, 70_000)
ROW = {"round": 1, "loss": 0.25, "test_accuracy": None}

EVERY: list[Command] = [
    commands.OpenSession("who@where", 1),
    commands.PutFile(TICKET, "an ünusual name", BLOB.digest, 5, 1),
    commands.PutFile(TICKET, "again", BLOB.digest, 5, 1, held=True),
    commands.RemoveFile(TICKET, 7, 1),
    commands.AddExample(TICKET, "ants", "rötlich", BLOB.digest, 5, 1),
    commands.CreateModel(TICKET, "n", {"arch": "mlp"}, {"inputs": 3}, 1),
    commands.DatasetReady("m4", BLOB, {"arch": "mlp"}, {"examples": 1}, 5, 1),
    commands.Checkpoint("m4", 3, "", BLOB, (ROW,), 1.5, 1),
    commands.FinishModel("m4", "", BLOB, (ROW,), 1.5, 2.5, None, {}, 1),
    commands.FailModel("m4", "why", "Traceback", 1),
    commands.CancelModel(TICKET, "m4", 1),
    commands.PromoteModel(TICKET, "m4", "best", 1),
    commands.RollBackAlias(TICKET, "digits@best", 1),
    commands.NoteEvaluation(
        TICKET,
        "m4",
        Evaluation("i", 2, 0.5, ("a", "b"), ((1, 0), (1, 0)), (WrongAnswer(1, "b", "a", 0.75),)),
        1,
    ),
    commands.NotePredictions(("ana@lab",), ("m4: 7 (99.1%)",), 1_000),
    commands.Found((commands.Founder("w1", "host:1", "d1"), commands.Founder("w2", "host:2", "d2")), 1),
    commands.Enlist("w4", "host:1", "", 1),
    commands.Retire(TICKET, "w4", 1),
]


def test_every_command_is_tried_here() -> None:
    assert {command.kind for command in EVERY} == set(commands._KINDS)


@pytest.mark.parametrize("command", EVERY, ids=lambda command: str(command.kind))
@pytest.mark.parametrize("body", [b"", b"\0bytes\xff"])
def test_a_command_survives_the_log(command: Command, body: bytes) -> None:
    data = commands.encode(command, body)
    assert commands.decode(data) == command
    assert commands.body_of(data) == body


def test_a_checkpoint_of_an_older_release_is_read() -> None:
    checkpoint = commands.Checkpoint("m4", 3, "", BLOB, (ROW,), 1.5, 1)
    data = commands.encode(checkpoint)
    older = data.replace(b',"chain":""', b"")
    assert len(older) < len(data)
    assert commands.decode(older[:2] + (len(older) - 6).to_bytes(4, "big") + older[6:]) == checkpoint


def test_the_blobs_of_a_command_are_found_without_reading_those_that_name_none() -> None:
    large = commands.PutFile(TICKET, "n", BLOB.digest, BLOB.size_bytes, 1)
    named = {command.kind: commands.named_blobs(commands.encode(command)) for command in (*EVERY[3:], large)}
    assert {kind for kind, blobs in named.items() if blobs} == {
        "put_file",
        "dataset_ready",
        "checkpoint",
        "finish_model",
    }
    assert set(named["put_file"]) == set(named["checkpoint"]) == {BLOB}


@pytest.mark.parametrize(
    "command",
    [
        commands.FailModel("m1", "x" * 70_000, "", 1),
        commands.FailModel("m1", "x", "", -1),
        commands.Checkpoint("m1", 1, "", BLOB, (), float("nan"), 1),
        commands.PutFile(TICKET, "\ud800", BLOB.digest, 5, 1),
        commands.PutFile(TICKET, "n" * 70_000, BLOB.digest, 5, 1),
        commands.PutFile(TICKET, "n", BLOB.digest[2:], 5, 1),
        commands.PutFile(TICKET, "n", "no digest", 5, 1),
        commands.PutFile(TICKET, "n", BLOB.digest, -1, 1),
        commands.PutFile(TICKET, "n", BLOB.digest, 1 << 64, 1),
    ],
)
def test_what_could_not_be_read_again_is_not_written(command: Command) -> None:
    with pytest.raises(ProtocolViolation):
        commands.encode(command)


def entry(header: Any, version: int = 1) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack(">BBI", version, 0, len(text)) + text


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        entry({"kind": "open_session", "client": "c", "time_ms": 1}, version=2),
        entry({"kind": "dance"}),
        entry({"kind": ["open_session"]}),
        entry({}),
        entry([]),
        entry({"kind": "open_session"}),
        b"\x01\x00\x00\x00\x00\x09{not json",
        b"\x01\x00\x00\x03\x0d\x40" + b"[" * 200_000,
        b"\x01\x03",
        commands.encode(EVERY[1])[:-1],
        commands.encode(EVERY[1]).replace("ü".encode(), b"\xff\xff"),
    ],
)
def test_a_command_that_cannot_be_read_says_what_to_do(data: bytes) -> None:
    with pytest.raises(UnknownCommand, match="Install the release"):
        commands.decode(data)
    if data[1:2] not in (b"\0", b"\x02"):
        with pytest.raises(UnknownCommand):
            commands.named_blobs(data)


@given(st.binary(max_size=60), st.booleans())
def test_no_bytes_do_worse_than_that(garbage: bytes, lead: bool) -> None:
    data = b"\x01\x01\x00\x00\x00" + bytes([len(garbage)]) + garbage if lead else garbage
    for read in (commands.decode, commands.named_blobs):
        with contextlib.suppress(UnknownCommand):
            read(data)


def test_flags_of_a_later_release_stop_a_worker_clearly() -> None:
    data = bytearray(commands.encode(EVERY[1]))
    data[1] |= 0x08
    with pytest.raises(UnknownCommand, match="flags"):
        commands.decode(bytes(data))
