"""Makes the sample data set from the full MNIST: `python packaging/samples/make.py FOLDER`.

FOLDER holds the four original files. Of each label the first images are taken, 600 to train on and 100 to test with, in the
order of the original. The gzip headers carry no time and no name, so that making them again changes nothing.
"""

import gzip
import struct
import sys
from pathlib import Path

LABELS = 10
IMAGE_BYTES = 28 * 28
IMAGES_MAGIC, LABELS_MAGIC = 2051, 2049

PARTS = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", 600),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz", 100),
}


def read(path: Path, header_bytes: int) -> bytes:
    """The items of an IDX file, without its header."""
    return gzip.decompress(path.read_bytes())[header_bytes:]


def first_of_each(labels: bytes, each: int) -> list[int]:
    """Positions of the first `each` items of every label, in their order."""
    left = [each] * LABELS
    chosen = []
    for position, label in enumerate(labels):
        if left[label]:
            left[label] -= 1
            chosen.append(position)
    return chosen


def write(path: Path, header: bytes, items: list[bytes]) -> None:
    """One IDX file: the header and the items, compressed alike on every day and under every name."""
    path.write_bytes(gzip.compress(header + b"".join(items), compresslevel=9, mtime=0))


def main(source: Path, target: Path) -> None:
    """Write the four sample files into `target`."""
    for part, (images_name, labels_name, each) in PARTS.items():
        images, labels = read(source / images_name, 16), read(source / labels_name, 8)
        chosen = first_of_each(labels, each)
        pictures = [images[at * IMAGE_BYTES : (at + 1) * IMAGE_BYTES] for at in chosen]
        write(
            target / f"mnist-{part}-images.idx.gz",
            struct.pack(">4I", IMAGES_MAGIC, len(chosen), 28, 28),
            pictures,
        )
        write(
            target / f"mnist-{part}-labels.idx.gz",
            struct.pack(">2I", LABELS_MAGIC, len(chosen)),
            [labels[at : at + 1] for at in chosen],
        )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(__file__).resolve().parent)
