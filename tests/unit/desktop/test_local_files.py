"""Handles, the spool, and names that come from elsewhere."""

from pathlib import Path

import pytest

from backend.desktop import handles, jobs, spool
from backend.desktop.handles import FileHandles
from backend.desktop.jobs import files_below
from backend.desktop.spool import Spool
from shared.errors import Busy, Refused


def test_only_the_newest_handles_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handles, "HANDLE_LIMIT", 2)
    kept = FileHandles()
    offers = kept.offer([tmp_path, tmp_path, tmp_path])
    with pytest.raises(Refused):
        kept.path(offers[0].handle)
    assert kept.path(offers[2].handle) == tmp_path


class TestSpool:
    def test_files_that_a_page_left_make_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(spool, "OPEN_LIMIT", 2)
        now = 0.0
        held = Spool(clock=lambda: now)
        first, _ = held.begin("a", 5), held.begin("b", 5)
        with pytest.raises(Busy):
            held.begin("c", 5)
        now = spool.STALE_S + 1
        held.begin("c", 5)
        assert not first.path.exists()
        with pytest.raises(Refused):
            held.find(first.id)
        held.close()

    def test_closing_leaves_nothing_on_the_disk(self) -> None:
        held = Spool()
        arrival = held.begin("a", 3)
        held.append(arrival, 0, b"abc")
        assert arrival.whole
        assert arrival.path.read_bytes() == b"abc"
        held.close()
        assert not arrival.path.parent.exists()


class TestFolders:
    def test_links_out_of_a_folder_are_not_followed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "folder"
        folder.mkdir()
        (tmp_path / "secret").write_text("secret")
        (folder / "link").symlink_to(tmp_path / "secret")
        (folder / "a").touch()
        (folder / "b").touch()
        assert [path.name for path in files_below(folder)] == ["a", "b"]
        monkeypatch.setattr(jobs, "FOLDER_FILES_LIMIT", 1)
        with pytest.raises(Refused):
            list(files_below(folder))
