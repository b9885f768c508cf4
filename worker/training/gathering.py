"""The examples of a growing data set as one file that is read like any other: a zip archive, one folder for each label.

Which images it holds, in which order, follows from the data set alone (`shared.datasets` takes them by name). What kind of
image each is, its bytes say, whatever its name ends in.
"""

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

STEP_EXAMPLES = 20
"""Written in one go."""


def append_images(path: Path, images: Sequence[tuple[str, int, Callable[[], bytes]]]) -> None:
    """Add images, each of a label and with a number of its own, to the archive `path`, which is made if absent."""
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        for label, number, read in images:
            archive.writestr(zipfile.ZipInfo(f"{label}/{number:019d}.png"), read())
