"""Small pictures of what the cluster holds: examples of data sets, and the first images of files.

Everything is decoded here, with the limits of `shared.images`, so that the page shows nothing but small PNGs.
"""

import base64
import io
import tempfile
import threading
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

from backend.desktop.link import REQUEST_S, ClusterLink
from backend.transfers import download, fetch
from shared.errors import Refused

SIDE = 96
"""Pixels of a picture; a larger image is shown smaller."""
IMAGE_BYTES = 16 * 1024**2
FILE_BYTES = 64 * 1024**2
"""A larger file is not looked into: all of it would have to come here."""
PICTURES = 48
LABELS_SHOWN = 200
KEPT = 2_000
LOOKS_KEPT = 32


class Gallery:
    """Keeps the last pictures that it made. Thread-safe. Everything raises `Refused`, and as `ClusterClient`."""

    def __init__(self, link: ClusterLink) -> None:
        self._link = link
        self._lock = threading.Lock()
        self._pictures: OrderedDict[str, bytes] = OrderedDict()
        self._looks: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def picture(self, digest: str, size_bytes: int) -> bytes:
        """The image of this digest, small, as PNG."""
        from shared.images import decode  # brings numpy: only where it is needed

        with self._lock:
            if digest in self._pictures:
                self._pictures.move_to_end(digest)
                return self._pictures[digest]
        if size_bytes > IMAGE_BYTES:
            raise Refused("This image is too large to be shown here.")
        made = png(decode(fetch(self._link.client(REQUEST_S), digest, size_bytes)))
        with self._lock:
            self._pictures[digest] = made
            while len(self._pictures) > KEPT:
                self._pictures.popitem(last=False)
        return made

    def look_into(self, file: dict[str, Any]) -> dict[str, Any]:
        """What is in a file of the cluster: {"count", "shape", "pictures": [data URL], "labels": {label: how many}}.

        ``shape`` is that of the images, None if there are none; ``labels`` are the most frequent, {} if there are none.
        """
        digest = str(file["digest"])
        with self._lock:
            if digest in self._looks:
                return self._looks[digest]
        if int(file["bytes"]) > FILE_BYTES:
            raise Refused(f"{file['name']!r} is too large to be looked into from here.")
        with tempfile.TemporaryDirectory(prefix="minka-") as scratch:
            name = str(file["name"]).replace("\\", "/").rsplit("/", 1)[-1]
            path = download(self._link.client(REQUEST_S), file, Path(scratch, name)).path
            seen = look(path, name)
        with self._lock:
            self._looks[digest] = seen
            while len(self._looks) > LOOKS_KEPT:
                self._looks.popitem(last=False)
        return seen


def look(path: Path, name: str) -> dict[str, Any]:
    """As `Gallery.look_into`, of a file that is here. Raises `Refused` for what is no data set."""
    from shared.datasets import holds_images, load_inputs, load_outputs
    from shared.tables import load_vectors

    labels: list[str] = []
    images, refusal = None, None
    try:
        labels = load_outputs(path, name)
    except Refused as error:
        refusal = error
    try:
        if holds_images(path, name) or load_vectors(path, name) is None:
            images = load_inputs(path, name)
    except Refused as error:
        refusal = refusal and error
    if images is None and refusal is not None:
        raise refusal
    counted = Counter(labels).most_common(LABELS_SHOWN)
    return {
        "count": len(labels) if images is None else len(images),
        "shape": None if images is None else list(images.shape[1:]),
        "pictures": [] if images is None else [data_url(png(image)) for image in images[:PICTURES]],
        "labels": dict(sorted(counted, key=lambda each: sorting_key(each[0]))),
    }


def sorting_key(label: str) -> tuple[bool, int, str]:
    """Numbers before words, 9 before 10."""
    whole = label.isascii() and label.isdigit()
    return not whole, int(label) if whole else 0, label


def png(pixels: Any) -> bytes:
    """Pixels, uint8 [height, width, 1 or 3], as a PNG of at most `SIDE` pixels a side."""
    from PIL import Image

    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def data_url(picture: bytes) -> str:
    """For the `src` of an image in the page."""
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"
