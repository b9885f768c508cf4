"""What both specs take in, and what they leave out: Qt for a web page alone, on Linux.

Everything is decided by where a file would lie in the build, so that it can be tried without one.
"""

import sys
import tomllib
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

BUILDS = Path(__file__).resolve().parent
ROOT = BUILDS.parent.parent
VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
ICON = str(ROOT / "frontend" / "common" / "icon.png")

EXCLUDED_MODULES = (
    *("gevent", "jinja2", "markupsafe", "tornado", "uvloop"),
    *("tkinter", "gi", "PyQt5", "PyQt6", "PySide2", "IPython", "PIL.ImageQt", "PIL.AvifImagePlugin"),
    *(
        "setuptools",
        "pytest",
        "hypothesis",
        "unittest",
        "doctest",
        "pydoc",
        "lib2to3",
        "sqlite3",
        "curses",
        "numpy.f2py",
    ),
)
"""Never used by Minka, but offered to the libraries that it uses."""

LEFT_OUT = (
    *(
        f"PySide6/Qt{module}.*"
        for module in ("DataVisualization", "OpenGL", "OpenGLWidgets", "Positioning", "Qml")
    ),
    *("PySide6/QtQuick*", "PySide6/libpyside6qml*", "PIL/_avif*"),
    *("PySide6/Qt/plugins/*", "PySide6/Qt/qml/*", "PySide6/Qt/translations/*"),
    *("PySide6/Qt/resources/*debug*", "PySide6/Qt/resources/qtwebengine_devtools_resources.pak"),
)
_PLUGINS = (
    *("iconengines/libqsvgicon", "imageformats/libqsvg", "platforms/libqoffscreen", "platforms/libqwayland"),
    *("platforms/libqxcb", "platforminputcontexts/libcompose", "platforminputcontexts/libibus", "tls/*"),
    *("platformthemes/libqxdgdesktopportal", "wayland-*/*", "xcbglintegrations/*"),
)
KEPT = (
    *(f"PySide6/Qt/plugins/{plugin}*" for plugin in _PLUGINS),
    *(f"PySide6/Qt/translations/qtwebengine_locales/{language}.pak" for language in ("en-US", "es")),
)
"""Of what `LEFT_OUT` matches."""

LIBRARY_FOLDERS = (".", "PySide6", "PySide6/Qt/lib", "numpy.libs", "pillow.libs", "shiboken6")
LOADED_BY_NAME = ("libpython*", "libfreebl*", "libnssckbi*", "libsoftokn*")
"""Libraries that no other file is linked with, but that are needed: Python's own, and the parts of NSS."""

Entry = tuple[str, str, str]
"""Where a file goes in the build, where it comes from, and what kind it is."""


def wanted(entries: Iterable[Entry], linked_with: Callable[[str], Iterable[str]]) -> list[Entry]:
    """The entries that the app needs: none of what is left out, nor a library that nothing is linked with then.

    `linked_with` gives the names of the libraries that the file at a path loads when it is loaded.
    """
    left = [entry for entry in entries if _is_wanted(Path(entry[0]).as_posix())]
    libraries: dict[str, list[Entry]] = {}
    for entry in left:
        if _is_library(Path(entry[0])):
            libraries.setdefault(Path(entry[0]).name, []).append(entry)
    needed = set[str]()
    looked_at = [entry for entry in left if entry[2] != "DATA" and not _is_library(Path(entry[0]))]
    looked_at += [entry for name in libraries if _matches(name, LOADED_BY_NAME) for entry in libraries[name]]
    needed |= {Path(entry[0]).name for entry in looked_at}
    while looked_at:
        _, source, kind = looked_at.pop()
        for name in () if kind == "SYMLINK" else linked_with(source):
            if name in libraries and name not in needed:
                needed.add(name)
                looked_at += libraries[name]
    return [entry for entry in left if not _is_library(Path(entry[0])) or Path(entry[0]).name in needed]


def _is_library(place: Path) -> bool:
    return place.name.startswith("lib") and place.parent.as_posix() in LIBRARY_FOLDERS


def _is_wanted(place: str) -> bool:
    return _matches(place, KEPT) or not _matches(place, LEFT_OUT)


def _matches(text: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(text, pattern) for pattern in patterns)


def pages(*folders: str) -> list[tuple[str, str]]:
    """The page's files in these folders of `frontend`, each with the folder of the build where it goes."""
    found = [
        file
        for folder in folders
        for file in sorted((ROOT / "frontend" / folder).rglob("*"))
        if file.is_file()
    ]
    return [
        (str(file), str(file.parent.relative_to(ROOT))) for file in found if "__pycache__" not in file.parts
    ]


def version_info() -> Any:
    """What Windows shows of a program's origin; None elsewhere."""
    if sys.platform != "win32":
        return None
    from PyInstaller.utils.win32 import versioninfo as info

    number = (*(int(part) for part in VERSION.split(".")), 0)
    texts = {
        "ProductName": "Minka",
        "FileDescription": "Minka",
        "ProductVersion": VERSION,
        "FileVersion": VERSION,
    }
    table = info.StringTable("040904B0", [info.StringStruct(name, text) for name, text in texts.items()])
    words = [info.StringFileInfo([table]), info.VarFileInfo([info.VarStruct("Translation", [1033, 1200])])]
    return info.VSVersionInfo(ffi=info.FixedFileInfo(filevers=number, prodvers=number), kids=words)


def platform_module() -> list[str]:
    """The part of pywebview that this system's window needs, which it imports by name."""
    names = {"linux": "qt", "darwin": "cocoa", "win32": "edgechromium"}
    return [f"webview.platforms.{names[sys.platform]}"]
