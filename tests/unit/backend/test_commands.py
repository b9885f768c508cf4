"""The commands keep the contract: the keys of their JSON, their exit codes, one line for an error."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.addresses import format_address
from shared.messages import CHUNK_BYTES
from tests.unit.backend.conftest import Ran, failed
from tests.unit.backend.fake_cluster import FakeCluster

Minka = Callable[..., Ran]


# --- files


def test_put_answers_with_the_files(minka: Minka, tmp_path: Path, cluster: FakeCluster) -> None:
    (tmp_path / "a.txt").write_bytes(b"one")
    (tmp_path / "b.bin").write_bytes(bytes(2 * CHUNK_BYTES))
    ran = minka("put", tmp_path / "a.txt", tmp_path / "b.bin", "--json")
    assert ran.code == 0
    assert [set(row) for row in ran.document["files"]] == [{"id", "name", "bytes", "digest", "index"}] * 2
    assert [row["name"] for row in ran.document["files"]] == ["a.txt", "b.bin"]
    assert ran.document["files"][0]["digest"] == hashlib.sha256(b"one").hexdigest()
    assert "uploading 2 files" in ran.err


def test_put_of_a_missing_path_uploads_nothing(minka: Minka, tmp_path: Path, cluster: FakeCluster) -> None:
    (tmp_path / "a.txt").write_bytes(b"one")
    failed(minka("put", tmp_path / "a.txt", tmp_path / "none"), 1, "none cannot be read")
    failed(minka("put", tmp_path), 1, "is a directory")
    assert cluster.files == []


def test_ls_shows_all_pages(minka: Minka, tmp_path: Path, cluster: FakeCluster) -> None:
    for name in "abcde":
        (tmp_path / name).write_bytes(name.encode())
    minka("put", *(tmp_path / name for name in "abcde"))
    ran = minka("ls", "--json")
    assert sorted(row["name"] for row in ran.document["files"]) == list("abcde")
    keys = {"id", "name", "bytes", "digest", "index", "created", "holders"}
    assert all(set(row) == keys for row in ran.document["files"])
    shown = minka("ls").out.splitlines()
    assert shown[0].split()[:3] == ["ID", "NAME", "SIZE"]
    assert len(shown) == 6


def test_names_of_any_kind_are_shown_harmlessly(minka: Minka, tmp_path: Path) -> None:
    name = "🦙 ñ \x1b[2J\x07.png"
    (tmp_path / name).write_bytes(b"x")
    assert minka("put", tmp_path / name, "--json").document["files"][0]["name"] == name
    shown = minka("ls").out
    assert "🦙 ñ" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert minka("get", name, "-o", tmp_path / "copy").code == 0


def test_get_writes_the_file(minka: Minka, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one")
    row = minka("put", tmp_path / "a.txt", "--json").document["files"][0]
    ran = minka("get", row["id"], "-o", tmp_path / "copy", "--json")
    assert ran.document == {"path": str(tmp_path / "copy"), "bytes": 3, "digest": row["digest"]}
    assert (tmp_path / "copy").read_bytes() == b"one"


@pytest.mark.parametrize(
    ("name", "local"),
    [
        ("../../a.txt", "a.txt"),
        ("dir\\b.txt", "b.txt"),
        ("..", "file-{id}"),
        ("CON.txt", "file-{id}"),
        ("a:b?.txt", "a_b_.txt"),
    ],
)
def test_get_into_a_directory_stays_inside(
    minka: Minka, tmp_path: Path, cluster: FakeCluster, name: str, local: str
) -> None:
    (tmp_path / "a").write_bytes(b"one")
    row = minka("put", tmp_path / "a", "--json").document["files"][0]
    cluster.files[0]["name"] = name
    (tmp_path / "in").mkdir()
    ran = minka("get", row["id"], "-o", tmp_path / "in", "--json")
    assert ran.document["path"] == str(tmp_path / "in" / local.format(id=row["id"]))
    assert len(list((tmp_path / "in").iterdir())) == 1


def test_files_of_one_name_lie_beside_each_other(minka: Minka, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for data in (b"one", b"two"):
        (tmp_path / "a.txt").write_bytes(data)
        row = minka("put", tmp_path / "a.txt", "--json").document["files"][0]
        assert minka("get", row["id"], "-o", tmp_path / "in").code == 0
    found = {path.name: path.read_bytes() for path in (tmp_path / "in").iterdir()}
    assert found == {"a.txt": b"one", "a (2).txt": b"two"}


def test_get_of_an_unknown_file_says_what_to_do(minka: Minka, tmp_path: Path) -> None:
    failed(minka("get", "nothing", "-o", tmp_path / "copy"), 1, "No file 'nothing'", "minka ls")
    ran = minka("get", "nothing", "-o", tmp_path / "copy", "--json")
    failed(ran, 1)
    assert ran.document["error"]["code"] == "refused"


def test_rm_answers_with_what_it_removed(minka: Minka, tmp_path: Path, cluster: FakeCluster) -> None:
    (tmp_path / "a.txt").write_bytes(b"one")
    row = minka("put", tmp_path / "a.txt", "--json").document["files"][0]
    assert minka("rm", "a.txt", "--json").document == {"removed": [{"id": row["id"], "name": "a.txt"}]}
    failed(minka("rm", "a.txt"), 1, "No file")


def test_verify_is_bad_news_when_copies_differ(minka: Minka, cluster: FakeCluster) -> None:
    assert minka("verify", "--json").document == {"equal": True, "files": []}
    row = {
        "id": 4,
        "name": "a",
        "digest": "d" * 64,
        "holders": {"w1": "ok", "w2": "corrupt", "w3": "missing"},
    }
    cluster.on("verify", lambda asked: ({"equal": False, "files": [row], "after": ""}, b""), times=2)
    ran = minka("verify", "--json")
    assert ran.code == 1
    assert ran.document["files"] == [{key: row[key] for key in ("id", "digest", "holders")}]
    shown = minka("verify").out.splitlines()
    assert shown[1].split()[-3:] == ["ok", "corrupt", "missing"]


# --- the cluster


def test_status_has_the_contract_s_keys(minka: Minka, cluster: FakeCluster) -> None:
    document = minka("status", "--json").document
    assert set(document) == {"leader", "term", "commit_index", "workers"}
    assert document["leader"] == "w1"
    shown = minka("status").out
    assert all(format_address(address) in shown for address in cluster.addresses)


def test_records_are_shown_oldest_first(minka: Minka, cluster: FakeCluster) -> None:
    rows = [
        {
            "record": n,
            "index": n,
            "time": 1.7e9 + n,
            "client": "ana@lab",
            "kind": "put",
            "summary": f"file {n}",
        }
        for n in (1, 2)
    ]
    cluster.on("records", lambda asked: ({"records": rows, "last": 2}, b""), times=2)
    assert minka("records", "--json").document == {"records": rows}
    assert minka("records", "--tail", 5).out.splitlines()[2].endswith("file 2")
    assert cluster.requests("records")[1].tail == 5


def test_nobody_there_is_exit_code_3(minka: Minka, cluster: FakeCluster) -> None:
    cluster.close()
    failed(minka("status", "--timeout", "0.3"), 3, "No worker can be reached", "minka cluster up")
    ran = minka("ls", "--timeout", "0.3", "--json")
    assert ran.code == 3
    assert ran.document["error"]["code"] == "unreachable"


def test_no_leader_is_exit_code_3(minka: Minka, cluster: FakeCluster) -> None:
    cluster.leader = None
    failed(minka("status", "--timeout", "0.3"), 3, "No leader was found within 0.3 s")


def test_no_known_cluster_is_exit_code_3(minka: Minka, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINKA_CLUSTER")
    monkeypatch.delenv("MINKA_KEYS")
    failed(minka("status"), 3, "No cluster is known", "minka cluster up")


def test_the_options_go_before_the_environment(
    minka: Minka, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MINKA_CLUSTER", "127.0.0.1:1")
    monkeypatch.setenv("MINKA_KEYS", str(tmp_path / "none"))
    address = format_address(cluster.addresses[1])
    assert minka("status", "--cluster", address, "--keys", tmp_path / "client.keys").code == 0


def test_a_wrong_key_is_said(minka: Minka, tmp_path: Path) -> None:
    (tmp_path / "client.keys").write_text(json.dumps({"client": "00" * 32}))
    failed(minka("status"), 1, "key")


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"client": "zz"}', '{"client": 7}', '{"client": "00"}'])
def test_a_keys_file_that_is_none_is_said(minka: Minka, tmp_path: Path, content: str) -> None:
    (tmp_path / "client.keys").write_text(content)
    failed(minka("status"), 1, "is not a keys file")


def test_keys_are_made_once_and_for_their_owner_alone(minka: Minka, tmp_path: Path) -> None:
    ran = minka("keys", "new", tmp_path / "keys", "--json")
    assert set(ran.document) == {"cluster", "client"}
    for path, roles in zip(ran.document.values(), (["cluster", "client"], ["client"]), strict=True):
        keys = json.loads(Path(path).read_text())
        assert list(keys) == roles
        assert all(len(bytes.fromhex(key)) == 32 for key in keys.values())
        assert Path(path).stat().st_mode & 0o077 == 0
    failed(minka("keys", "new", tmp_path / "keys"), 1, "exists already")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("get", "x"),
        ("train", "--inputs", "x"),
        ("status", "--timeout", "0"),
        ("status", "--timeout", "nan"),
        ("train", "--inputs", "a", "--outputs", "b", "--epochs", "0"),
        ("records", "--tail", "-1"),
        ("cluster", "up"),
    ],
)
def test_wrong_usage_is_exit_code_2(minka: Minka, arguments: tuple[str, ...]) -> None:
    ran = minka(*arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert "usage: minka" in ran.err


def test_every_command_takes_help(minka: Minka) -> None:
    commands = [
        "put",
        "ls",
        "rm",
        "get",
        "verify",
        "train",
        "models",
        "show",
        "cancel",
        "predict",
        "records",
        "status",
    ]
    for command in [*commands, "keys new", "cluster up", "cluster down"]:
        ran = minka(*command.split(), "--help")
        assert ran.code == 0
        assert "--json" in ran.out
