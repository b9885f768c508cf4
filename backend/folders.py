"""Folders of images by class, packed into one archive that the cluster can learn from."""

import shutil
import zipfile
from pathlib import Path, PurePosixPath
from typing import IO

from shared.errors import Refused

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
"""As `shared.datasets` takes them."""
IMAGES_LIMIT = 1_000_000


class Packing:
    """An archive in the making; of equal images in equal order, equal bytes. Use as a context manager."""

    def __init__(self, target: Path) -> None:
        """Raises OSError."""
        self.images = 0
        self._archive = zipfile.ZipFile(target, "w", zipfile.ZIP_STORED)

    def __enter__(self) -> "Packing":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """What was added is all there is."""
        self._archive.close()

    def add(self, path: PurePosixPath, source: IO[bytes]) -> None:
        """Add an image under its path below the folder. Raises `Refused` for too many, OSError."""
        if self.images >= IMAGES_LIMIT:
            raise Refused(f"A folder may hold at most {IMAGES_LIMIT:,} images.")
        with self._archive.open(zipfile.ZipInfo(str(path)), "w", force_zip64=True) as packed:
            shutil.copyfileobj(source, packed)
        self.images += 1


def pack(folder: Path, target: Path) -> int:
    """Pack all images below `folder` into `target`; returns how many there were. Raises `Refused`, OSError."""
    with Packing(target) as packing:
        for path in sorted(folder.rglob("*")):
            if is_image(path.name) and path.is_file():
                with path.open("rb") as source:
                    packing.add(PurePosixPath(path.relative_to(folder).as_posix()), source)
    return packing.images


def is_image(name: str) -> bool:
    """Whether a file of this name is taken; hidden ones are not."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")
