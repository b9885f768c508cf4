"""The real disk: what it promises, and how the system's errors are told."""

import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import Refused
from tests.unit.storage.faulty_disk import FaultyDisk, Killed
from worker.storage.disk import Corrupt, DiskFailed, DiskFull, OsDisk, pieces, read_file, write_file

DISK = OsDisk()


def test_writes_anywhere_and_reads_short_only_at_the_end(tmp_path: Path) -> None:
    file = DISK.open(tmp_path / "f", write=True)
    file.write_at(3, b"abc")
    file.write_at(1, memoryview(b"xyz"))
    assert file.read_at(0, 100) == b"\0xyzbc"
    assert file.read_at(6, 1) == b""
    file.truncate(2)
    file.sync()
    assert file.size() == 2
    file.close()
    file.close()


def test_a_file_is_streamed_in_pieces(tmp_path: Path) -> None:
    write_file(DISK, tmp_path / "f", b"0123456789")
    file = DISK.open(tmp_path / "f")
    assert list(pieces(file, 1, piece_bytes=4)) == [b"1234", b"5678", b"9"]
    file.close()


def test_a_missing_file_is_told_from_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        DISK.open(tmp_path / "f")
    assert DISK.size(tmp_path / "f") is None
    assert DISK.list(tmp_path / "d") == []
    DISK.open(tmp_path / "f", write=True).close()
    assert DISK.size(tmp_path / "f") == 0


def test_a_directory_in_the_place_of_a_file_is_a_failed_disk(tmp_path: Path) -> None:
    with pytest.raises(DiskFailed, match="could not be opened"):
        DISK.open(tmp_path, write=True)


def test_a_file_longer_than_its_kind_may_be_is_not_read(tmp_path: Path) -> None:
    write_file(DISK, tmp_path / "f", b"12345")
    assert read_file(DISK, tmp_path / "f", 5) == b"12345"
    with pytest.raises(Corrupt, match="longer than 4"):
        read_file(DISK, tmp_path / "f", 4)


def test_directories_are_made_with_their_parents(tmp_path: Path) -> None:
    DISK.make_directory(tmp_path / "a" / "b")
    DISK.make_directory(tmp_path / "a" / "b")
    assert DISK.list(tmp_path) == ["a"]
    assert DISK.free_bytes(tmp_path / "a") > 0


def test_a_file_is_replaced_whole_or_not_at_all_wherever_the_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_file(DISK, path, b"old")
    for step in range(1, 100):
        disk = FaultyDisk()
        disk.dies_at = step
        try:
            write_file(disk, path, b"new")
        except Killed:
            disk.abandon()
            assert path.read_bytes() in (b"old", b"new")
        else:
            break
    assert step > 3
    assert path.read_bytes() == b"new"


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_file(DISK, tmp_path / "f", b"old")
    disk = FaultyDisk()
    disk.room_bytes = 3
    with pytest.raises(DiskFull):
        write_file(disk, tmp_path / "f", b"newer")
    assert DISK.list(tmp_path) == ["f"]
    assert (tmp_path / "f").read_bytes() == b"old"


def test_a_lock_is_held_once_and_can_be_had_again(tmp_path: Path) -> None:
    lock = DISK.lock(tmp_path / "lock")
    with pytest.raises(Refused, match="in use by another process"):
        DISK.lock(tmp_path / "lock")
    lock.release()
    lock.release()
    DISK.lock(tmp_path / "lock").release()


def test_a_lock_keeps_other_processes_out_and_ends_with_its_process(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from worker.storage.disk import OsDisk;"
        "OsDisk().lock(Path(sys.argv[1])); print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == b"locked"
        with pytest.raises(Refused, match=str(other.pid)):
            DISK.lock(tmp_path / "lock")
        other.kill()
        other.wait()
    DISK.lock(tmp_path / "lock").release()


if sys.platform == "linux":

    def test_the_systems_full_disk_is_a_full_disk() -> None:
        file = DISK.open(Path("/dev/full"), write=True)
        with pytest.raises(DiskFull, match="No space left"):
            file.write_at(0, b"a")
        file.close()
