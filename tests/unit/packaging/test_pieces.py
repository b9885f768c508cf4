"""What a packaged app takes in of all that its libraries bring."""

import sys
from pathlib import Path

import environment
import pytest

sys.path.append(str(environment.ROOT / "packaging" / "builds"))
import pieces

LINKS = {
    "qxcb": ["libQt6XcbQpa.so.6", "libc.so.6"],
    "xcbqpa": ["libQt6Gui.so.6"],
    "core": ["libQt6Core.so.6"],
}


def test_a_library_stays_only_if_something_that_stays_is_linked_with_it() -> None:
    entries = [
        ("PySide6/Qt/plugins/platforms/libqxcb.so", "qxcb", "BINARY"),
        ("PySide6/Qt/plugins/platforms/libqvnc.so", "qvnc", "BINARY"),
        ("PySide6/Qt/lib/libQt6XcbQpa.so.6", "xcbqpa", "BINARY"),
        ("libQt6XcbQpa.so.6", "PySide6/Qt/lib/libQt6XcbQpa.so.6", "SYMLINK"),
        ("PySide6/Qt/lib/libQt6Gui.so.6", "gui", "BINARY"),
        ("PySide6/Qt/lib/libQt6Charts.so.6", "charts", "BINARY"),
        ("libpulse.so.0", "pulse", "BINARY"),
        ("libpython3.11.so.1.0", "python", "BINARY"),
        ("PySide6/QtCore.abi3.so", "core", "EXTENSION"),
        ("PySide6/Qt/lib/libQt6Core.so.6", "qtcore", "BINARY"),
    ]
    kept = [place for place, _, _ in pieces.wanted(entries, lambda source: LINKS.get(source, []))]
    assert kept == [
        "PySide6/Qt/plugins/platforms/libqxcb.so",
        "PySide6/Qt/lib/libQt6XcbQpa.so.6",
        "libQt6XcbQpa.so.6",
        "PySide6/Qt/lib/libQt6Gui.so.6",
        "libpython3.11.so.1.0",
        "PySide6/QtCore.abi3.so",
        "PySide6/Qt/lib/libQt6Core.so.6",
    ]


@pytest.mark.parametrize(
    ("place", "stays"),
    [
        ("PySide6/Qt/translations/qtwebengine_locales/es.pak", True),
        ("PySide6/Qt/translations/qtwebengine_locales/de.pak", False),
        ("PySide6/Qt/resources/qtwebengine_devtools_resources.pak", False),
        ("PySide6/Qt/resources/icudtl.dat", True),
        ("PySide6/Qt/qml/QtQuick/qmldir", False),
        ("frontend/app/index.html", True),
        ("PIL/_avif.cpython-311-x86_64-linux-gnu.so", False),
    ],
)
def test_data_that_nobody_sees_is_left_out(place: str, stays: bool) -> None:
    assert bool(pieces.wanted([(place, "", "DATA")], lambda source: [])) is stays


def test_every_file_of_the_pages_is_taken_in_where_it_is_looked_for() -> None:
    taken = {Path(folder, Path(source).name).as_posix() for source, folder in pieces.pages("app", "common")}
    assert {"frontend/app/index.html", "frontend/app/pages/try.js", "frontend/common/theme.css"} <= taken
    assert all((environment.ROOT / place).is_file() for place in taken)
    assert not [place for place in taken if place.endswith(".pyc")]
