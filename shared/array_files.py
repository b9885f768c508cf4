"""Arrays in files: IDX (plain or gzipped), NPY and NPZ. Whatever is wrong is Refused, and never is more memory taken
than `MAX_ARRAY_BYTES`, whatever a header claims or a compressed file unpacks to.
"""

import gzip
import io
import math
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import Refused

MAX_ARRAY_BYTES = 2 * 1024**3
"""The most bytes of one decoded file."""

IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def size_text(shape: tuple[int, ...]) -> str:
    """(28, 28) -> "28 x 28"."""
    return " x ".join(str(length) for length in shape)


def within_limit(size_bytes: int, name: str) -> None:
    """Raises Refused for more than `MAX_ARRAY_BYTES`."""
    if size_bytes > MAX_ARRAY_BYTES:
        raise Refused(
            f"{name!r} would take {size_bytes:,} bytes, the most is {MAX_ARRAY_BYTES:,}.",
            "Give fewer or smaller images.",
        )


def first_bytes(path: Path, name: str) -> bytes:
    """The first 8 bytes of the file, or fewer. Raises Refused if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(8)
    except OSError as error:
        raise Refused(f"{name!r} cannot be read: {error.strerror}.") from error


# --- IDX


def is_idx(path: Path, name: str) -> bool:
    """Whether the file, or what is gzipped in it, begins with two zero bytes and a type of IDX."""
    start = first_bytes(path, name)
    if start.startswith(b"\x1f\x8b"):
        try:
            with gzip.open(path) as file:
                start = file.read(4)
        except (OSError, EOFError, zlib.error) as error:
            raise Refused(f"{name!r} is a damaged gzip file.", "Make it again, or send it again.") from error
    return len(start) >= 4 and start[:2] == b"\0\0" and start[2] in IDX_TYPES


def read_idx(path: Path, name: str) -> NDArray[Any]:
    """The array of an IDX file (plain or gzipped); its own header limits what is unpacked."""
    gzipped = first_bytes(path, name).startswith(b"\x1f\x8b")
    try:
        with gzip.open(path) if gzipped else path.open("rb") as file:
            _, _, kind, dimensions = file.read(4)
            if not 1 <= dimensions <= 4:
                raise Refused(
                    f"corrupt IDX {name!r}: {dimensions} dimensions.", "Images have 3 or 4, labels 1."
                )
            lengths = file.read(4 * dimensions)
            if len(lengths) < 4 * dimensions:
                raise Refused(f"corrupt IDX {name!r}: it ends within its header.")
            shape = struct.unpack(f">{dimensions}I", lengths)
            dtype = np.dtype(IDX_TYPES[kind])
            size_bytes = math.prod(shape) * dtype.itemsize
            within_limit(size_bytes, name)
            data = file.read(size_bytes)
            longer = len(data) == size_bytes and file.read(1) != b""
    except (OSError, EOFError, zlib.error) as error:
        raise Refused(f"{name!r} is a damaged gzip file.", "Make it again, or send it again.") from error
    if len(data) != size_bytes or longer:
        what = f"{shape[0]} labels" if dimensions == 1 else f"{shape[0]} images of {size_text(shape[1:])}"
        held = "more" if longer else f"{len(data)}"
        raise Refused(
            f"corrupt IDX {name!r}: the header says {what} ({size_bytes} bytes), the file holds {held}.",
            "Make it again, or send it again.",
        )
    return np.frombuffer(data, dtype).reshape(shape)


# --- NumPy


def is_archive(start: bytes) -> bool:
    """Whether a file that begins so is a zip archive."""
    return start.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def open_archive(path: Path, name: str) -> zipfile.ZipFile:
    """The zip archive. Raises Refused if it is damaged."""
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise Refused(f"{name!r} is a damaged zip archive.", "Make it again, or send it again.") from error


def holds_arrays(path: Path, name: str) -> bool:
    """Whether this zip archive is an NPZ."""
    with open_archive(path, name) as archive:
        return any(entry.endswith(".npy") for entry in archive.namelist())


def read_numpy(path: Path, name: str, wanted: Sequence[str]) -> NDArray[Any]:
    """The array of an NPY; of an NPZ, the first of the `wanted` names that it has, or its only array. Never pickled."""
    if not is_archive(first_bytes(path, name)):
        with path.open("rb") as file:
            return _read_npy(file, name, path.stat().st_size)
    with open_archive(path, name) as archive:
        entries = {entry.filename: entry for entry in archive.infolist() if entry.filename.endswith(".npy")}
        named = [f"{word}.npy" for word in wanted if f"{word}.npy" in entries]
        if not named and len(entries) == 1:
            named = list(entries)
        if not named:
            raise Refused(
                f"{name!r} holds the arrays {', '.join(sorted(entries))[:200]}.",
                f"Name one of them {wanted[0]!r}.",
            )
        entry = entries[named[0]]
        return _read_npy(io.BytesIO(unpacked(archive, entry, name, MAX_ARRAY_BYTES)), name, entry.file_size)


def _read_npy(file: IO[bytes], name: str, size_bytes: int) -> NDArray[Any]:
    try:
        version = np.lib.format.read_magic(file)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(file)
        claimed_bytes = math.prod(shape) * dtype.itemsize
        within_limit(claimed_bytes, name)
        if dtype.hasobject or claimed_bytes > size_bytes:
            raise ValueError("objects, or more than the file holds")
        file.seek(0)
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
    except (ValueError, TypeError, OSError, EOFError, SyntaxError, OverflowError, RecursionError) as error:
        raise Refused(f"{name!r} is not a readable NumPy array.", "Save it with numpy.savez.") from error


def unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str, most: int) -> bytes:
    """The bytes of one entry; what it claims and what it gives are both held to `most` bytes."""
    if entry.file_size > most:
        raise Refused(f"{entry.filename!r} in {name!r} has {entry.file_size:,} bytes, the most is {most:,}.")
    try:
        with archive.open(entry) as file:
            data = file.read(most + 1)
    except (zipfile.BadZipFile, OSError, EOFError, zlib.error, RuntimeError, NotImplementedError) as error:
        raise Refused(f"{entry.filename!r} in {name!r} is damaged.", "Make the archive again.") from error
    if len(data) != entry.file_size:
        raise Refused(f"{entry.filename!r} in {name!r} is damaged.", "Make the archive again.")
    return data
