"""Static files: the folder's own files with their types, and nothing beside them."""

from pathlib import Path

import pytest

from shared.http1 import Limits, Request, parse_head
from shared.http_errors import HttpError, MethodNotAllowed, NotFound
from shared.http_files import StaticFiles


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text("the key")
    site = tmp_path / "site"
    (site / "views").mkdir(parents=True)
    (site / "index.html").write_text("<!doctype html>")
    (site / "views" / "log.js").write_text("export {}")
    (site / "notes.secret").write_text("no type")
    (site / "link.txt").symlink_to(tmp_path / "secret.txt")
    return site


def ask(root: Path, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    fields = [("host", "a"), *((name.replace("_", "-"), value) for name, value in headers.items())]
    request = Request(parse_head(f"{method} {path} HTTP/1.1", fields, Limits()))
    response = StaticFiles(root).respond(request, request.path)
    return response.status, dict(response.headers), response.body


def test_a_file_has_its_type_and_a_tag(root: Path) -> None:
    status, headers, body = ask(root, "/views/log.js")
    assert (status, body) == (200, b"export {}")
    assert headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert ask(root, "/views/log.js", if_none_match=f'"x", W/{headers["ETag"]}')[0] == 304
    assert ask(root, "/views/log.js", if_none_match='"x"')[0] == 200
    (root / "views" / "log.js").write_text("export {};")
    assert ask(root, "/views/log.js", if_none_match=headers["ETag"])[0] == 200


def test_the_root_is_its_index(root: Path) -> None:
    assert ask(root, "/")[2] == b"<!doctype html>"
    with pytest.raises(NotFound):
        ask(root, "/views/")


ESCAPES = [
    "/../secret.txt",
    "/%2e%2e/secret.txt",
    "/views/../../secret.txt",
    "/..%2fsecret.txt",
    "/..%5csecret.txt",
    "/%2fetc/hosts.txt",
    "//secret.txt",
    "/./index.html",
    "/views//log.js",
    "/C:/secret.txt",
    "/index.html%20",
    "/INDEX.HTML",
    "/index.html/",
    "/index.html/index.html",
    "/link.txt",
    "/notes.secret",
    "/views",
    "/nothing.html",
]


@pytest.mark.parametrize("path", ESCAPES)
def test_nothing_but_the_listed_files_is_found(root: Path, path: str) -> None:
    with pytest.raises(HttpError) as caught:
        ask(root, path)
    assert caught.value.status in (400, 404)


def test_static_files_are_read_only(root: Path) -> None:
    with pytest.raises(MethodNotAllowed):
        ask(root, "/", "DELETE")
