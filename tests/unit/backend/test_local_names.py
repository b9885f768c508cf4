"""A name from the cluster can neither leave its folder here nor take another file's place."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.local_names import DEVICES, FORBIDDEN, NAME_BYTES, free_path, local_name


@pytest.mark.parametrize(
    ("name", "local"),
    [
        ("a.txt", "a.txt"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\x.ini", "x.ini"),
        ("ñandú 🦙.png", "ñandú 🦙.png"),
        ('a<b>:"|?*\x00.txt', "a_b_______.txt"),
        ("invoice\u202egpj.exe", "invoice_gpj.exe"),
        (" .hidden. ", "hidden"),
        ("..", "else"),
        ("a/", "else"),
        ("\x00", "else"),
        ("CON.txt", "else"),
        ("nul", "else"),
        ("Com¹.tar.gz", "else"),
        ("conin$", "else"),
        ("x" * 300 + ".png", "x" * (NAME_BYTES - 4) + ".png"),
        ("\ud800.txt", "_.txt"),
    ],
)
def test_a_name_is_made_fit_for_every_system(name: str, local: str) -> None:
    assert local_name(name, "else") == local


@given(st.text(max_size=300))
def test_whatever_the_name_it_is_one_ordinary_file(name: str) -> None:
    local = local_name(name, "else")
    assert 1 <= len(local.encode()) <= NAME_BYTES
    assert Path("folder", local).parent == Path("folder")
    assert local not in (".", "..")
    assert FORBIDDEN.isdisjoint(local)
    assert local.isprintable()
    assert local[-1] not in ". "
    assert local.partition(".")[0].upper() not in DEVICES


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").touch()
    (tmp_path / "a (2).tar.gz").touch()
    assert free_path(tmp_path, "a.tar.gz") == tmp_path / "a (3).tar.gz"
    assert free_path(tmp_path, "..", "file-7") == tmp_path / "file-7"
