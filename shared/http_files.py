"""Static files over HTTP: a folder whose content is known, cached by the digest of the bytes."""

import hashlib
from importlib.resources.abc import Traversable
from pathlib import Path

from shared.http1 import Request
from shared.http_errors import MethodNotAllowed, NotFound
from shared.http_responses import Response

CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
MAX_FILE_BYTES = 4 * 1024 * 1024


class StaticFiles:
    """Answers GET and HEAD with the files under `root`, a folder or a package's resources.

    The tree is walked segment by segment, by names that the folder itself lists: "..", absolute paths, drive
    letters, back-slashes and links out of the tree are simply not found. An unknown type is not served.
    """

    def __init__(self, root: Path | Traversable, index: str = "index.html") -> None:
        self._root = root
        self._index = index

    def respond(self, request: Request, path: str) -> Response:
        """The file at `path`, below the root; "" or a final "/" means the index.

        Raises NotFound, MethodNotAllowed.
        """
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(("GET", "HEAD"))
        name = path.removeprefix("/")
        if not name or name.endswith("/"):
            name += self._index
        suffix = name[name.rfind(".") :] if "." in name else ""
        if suffix not in CONTENT_TYPES:
            raise NotFound("There is no such page.")
        body = self._find(name).read_bytes()
        if len(body) > MAX_FILE_BYTES:
            raise NotFound("This file is too large to be a page.")
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = (("Content-Type", CONTENT_TYPES[suffix]), ("Cache-Control", "no-cache"), ("ETag", tag))
        if _names_tag(request.head.headers.get("if-none-match", ""), tag):
            return Response(304, headers[1:])
        return Response(200, headers, body)

    def _find(self, name: str) -> Path | Traversable:
        place: Path | Traversable = self._root
        for segment in name.split("/"):
            if not place.is_dir():
                raise NotFound("There is no such page.")
            found = [entry for entry in place.iterdir() if entry.name == segment]
            if not found or (isinstance(found[0], Path) and found[0].is_symlink()):
                raise NotFound("There is no such page.")
            place = found[0]
        if not place.is_file():
            raise NotFound("There is no such page.")
        return place


def _names_tag(condition: str, tag: str) -> bool:
    """Weak comparison of If-None-Match, RFC 9110 section 13.1.2."""
    return any(candidate.strip().removeprefix("W/") in (tag, "*") for candidate in condition.split(","))
