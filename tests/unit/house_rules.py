"""The rules of the house, each a function from a tree of files to the places that break it."""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeGuard

PACKAGES = ("shared", "worker", "backend", "frontend")
PRODUCT = (*PACKAGES, "packaging")
BUILDS = Path("packaging/builds")
"""Recipes of packaged programs, and what these start with: it imports the product, and PyInstaller at the build."""
CODE = {".py", ".js", ".css", ".html"}
TEXT = CODE | {".md", ".toml", ".txt", ".svg", ".json", ".box", ".seq", ".yml", ".sh", ".cfg", ""}
IGNORED = {"__pycache__", "build", "dist", "node_modules"}  # and whatever starts with a dot, but for .ci
LONGEST_FILE_LINES = 450

RUN_TIME_DEPENDENCIES = {"numpy", "PIL", "webview"}
HEAVY = RUN_TIME_DEPENDENCIES
HEAVY_SHARED = {"shared.images", "shared.datasets", "shared.array_files", "shared.tables"}
NODE_PROCESS = ("worker.__main__", "worker.node")
PURE = {
    *("__future__", "abc", "bisect", "collections", "dataclasses", "enum", "functools", "heapq", "itertools"),
    *("json", "math", "operator", "random", "typing"),
}
UNSAFE = (
    *("pickle", "marshal", "shelve", "multiprocessing", "asyncio", "socketserver", "xmlrpc", "wsgiref"),
    *("http.server", "http.client", "urllib.request"),
)
CATCH_ALLS = {"util", "utils", "helper", "helpers", "manager", "managers", "common", "misc", "stuff", "tools"}

# Brackets keep these patterns from finding themselves. What a system does not have at all may be left out on it.
WORDS = {
    "unfinished work": re.compile(r"\b(TO[D]O|FIX[M]E|X[X]X|H[A]CK)\b"),
    "a test that does not run": re.compile(
        r"pytest\.s[k]ip|import[o]rskip|mark\.(s[k]ip(?!if\(sys\.platform)|x[f]ail)|unittest\.s[k]ip"
    ),
    "a path of some machine": re.compile(r"/w[o]rk/|/f[a]rm/|/h[o]me/\w|/tmp/\w/|C:\\\\U[s]ers"),
    "the host of a registry": re.compile(r"hosted\.o[r]g|py[p]i\.|npm[j]s\.|de[b]ian\.org"),
    "a conflict marker": re.compile(r"^(<{7}|>{7}) ", re.MULTILINE),
}
FORBIDDEN_PRODUCT_WORDS = {"a websocket": re.compile(r"\bweb[s]ocket|socket\.i[o]\b", re.IGNORECASE)}

LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)|<img[^>]*\ssrc=\"([^\"]+)\"")
FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Import:
    """One name that a file imports: a module, or something in it."""

    module: str
    line: int


class Tree:
    """The project's files under `root`, without what tools have made."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def files(self) -> list[Path]:
        """Paths relative to the root, sorted."""
        return sorted(self._walk(self.root))

    def _walk(self, folder: Path) -> Iterator[Path]:
        for path in folder.iterdir():
            hidden = path.name.startswith(".") and path.name not in (".ci", ".gitignore")
            if hidden or path.name in IGNORED or path.name.endswith(".egg-info"):
                continue
            if path.is_dir():
                yield from self._walk(path)
            else:
                yield path.relative_to(self.root)

    def has(self, path: Path | str) -> bool:
        return Path(path) in self.files

    def text(self, path: Path) -> str:
        return (self.root / path).read_text(encoding="utf-8")

    def python(self, *tops: str) -> list[Path]:
        """The Python files under these top-level folders."""
        return [path for path in self.files if path.suffix == ".py" and path.parts[0] in tops]

    @cached_property
    def modules(self) -> dict[str, Path]:
        """Dotted name -> file, for the packages."""
        return {module_name(path): path for path in self.python(*PACKAGES)}

    def imports(self, path: Path) -> list[Import]:
        """Everything that `path` imports when it runs, also inside functions; not what only type checkers read."""
        found: list[Import] = []
        package = (
            module_name(path).split(".") if path.name == "__init__.py" else module_name(path).split(".")[:-1]
        )
        pending: list[ast.AST] = [ast.parse(self.text(path), str(path))]
        while pending:
            node = pending.pop()
            if isinstance(node, ast.If) and ast.unparse(node.test) in (
                "TYPE_CHECKING",
                "typing.TYPE_CHECKING",
            ):
                pending.extend(node.orelse)
                continue
            if isinstance(node, ast.Import):
                found.extend(Import(alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else []
                source = ".".join([*base, *([node.module] if node.module else [])])
                found.append(Import(source, node.lineno))
                found.extend(Import(f"{source}.{alias.name}", node.lineno) for alias in node.names)
            pending.extend(ast.iter_child_nodes(node))
        return found


def module_name(path: Path) -> str:
    """worker/raft/raft.py -> worker.raft.raft; a package's __init__.py is the package."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def inside(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def walls(tree: Tree) -> list[str]:
    """Who may import whom: backend and worker only meet in shared, and nothing else comes in from outside."""
    may_import = {
        "shared": {"shared"},
        "worker": {"worker", "shared", "frontend"},
        "backend": {"backend", "shared", "frontend"},
        "frontend": {"frontend"},
    }
    found = []
    for top, allowed in may_import.items():
        for path in tree.python(top):
            for item in tree.imports(path):
                outer = item.module.split(".")[0]
                if outer in allowed | RUN_TIME_DEPENDENCIES or outer in sys.stdlib_module_names:
                    continue
                found.append(f"{path}:{item.line}: {top} may not import {item.module}")
    for path in tree.python("packaging"):
        own = {other.stem for other in tree.python("packaging") if other.parent == path.parent}
        if path.parent == BUILDS:
            own |= {"backend", "worker", "PyInstaller"}
        for item in tree.imports(path):
            if item.module.split(".")[0] not in own | sys.stdlib_module_names:
                found.append(
                    f"{path}:{item.line}: packaging runs before anything is installed: {item.module}"
                )
    return found


def heavy_imports(tree: Tree) -> list[str]:
    """In shared, only the reading of images and data sets may load NumPy or Pillow."""
    return [
        f"{path}:{item.line}: {item.module}"
        for path in tree.python("shared")
        if module_name(path) not in HEAVY_SHARED
        for item in tree.imports(path)
        if item.module.split(".")[0] in HEAVY
    ]


def node_process_imports(tree: Tree) -> list[str]:
    """The process that keeps consensus never loads NumPy or Pillow: follow every import from its entry."""
    found = []
    reached_from: dict[str, str] = {}
    pending = [name for name in NODE_PROCESS if name in tree.modules]
    reached_from.update(dict.fromkeys(pending, ""))
    while pending:
        name = pending.pop()
        for item in tree.imports(tree.modules[name]):
            if item.module.split(".")[0] in HEAVY:
                found.append(
                    f"{tree.modules[name]}:{item.line}: {item.module}, reached by {_way(name, reached_from)}"
                )
            parts = item.module.split(".")
            for depth in range(1, len(parts) + 1):  # importing a.b.c runs a and a.b first
                reached = ".".join(parts[:depth])
                if reached in tree.modules and reached not in reached_from:
                    reached_from[reached] = name
                    pending.append(reached)
    return found


def _way(name: str, reached_from: dict[str, str]) -> str:
    steps = [name]
    while reached_from[steps[-1]]:
        steps.append(reached_from[steps[-1]])
    return " <- ".join(steps)


def raft_purity(tree: Tree) -> list[str]:
    """The consensus core imports pure modules only, opens nothing and draws no number that it was not handed."""
    found = []
    for path in tree.python("worker"):
        if path.parts[:2] != ("worker", "raft"):
            continue
        for item in tree.imports(path):
            if item.module.split(".")[0] not in PURE and not inside(item.module, "worker.raft"):
                found.append(f"{path}:{item.line}: the core may not import {item.module}")
            if inside(item.module, "random") and item.module not in ("random", "random.Random"):
                found.append(f"{path}:{item.line}: {item.module} is a global source of randomness")
        for node in ast.walk(ast.parse(tree.text(path))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("open", "print")
            ):
                found.append(f"{path}:{node.lineno}: the core does no {node.func.id}()")
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "random"
                and node.attr != "Random"
            ):
                found.append(f"{path}:{node.lineno}: random.{node.attr} is a global source of randomness")
    return found


def unsafe_imports(tree: Tree) -> list[str]:
    """No serialiser that runs code, and no communication but over our own sockets."""
    found = []
    for path in tree.python(*PRODUCT):
        for item in tree.imports(path):
            if path.parent == BUILDS and item.module == "multiprocessing":
                continue  # a packaged program has to call freeze_support()
            if any(inside(item.module, name) for name in UNSAFE):
                found.append(f"{path}:{item.line}: {item.module}")
    return found


def fixed_waits(tree: Tree) -> list[str]:
    """Nothing waits for a fixed time. Where no event tells (a process is not our child), a loop looks until a deadline."""
    found: list[str] = []
    for path in tree.python(*PRODUCT, "tests", "docs"):
        found.extend(
            f"{path}:{item.line}: {item.module}" for item in tree.imports(path) if item.module == "time.sleep"
        )
        polled = (
            set() if path.parts[0] in ("worker", "shared") else _polling_sleeps(ast.parse(tree.text(path)))
        )
        found.extend(
            f"{path}:{node.lineno}: {ast.unparse(node)}"
            for node in ast.walk(ast.parse(tree.text(path)))
            if _is_sleep(node) and node.lineno not in polled
        )
    return found


def _polling_sleeps(module: ast.Module) -> set[int]:
    """The lines that sleep inside a loop of a function that compares the clock with something."""
    functions = [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef)]
    loops = [
        node
        for function in functions
        if re.search(r"time\.monotonic\(\) [<>]=? \w+", ast.unparse(function))
        for node in ast.walk(function)
        if isinstance(node, ast.While)
    ]
    return {node.lineno for loop in loops for node in ast.walk(loop) if _is_sleep(node)}


def _is_sleep(node: ast.AST) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "time.sleep"


def long_files(tree: Tree) -> list[str]:
    """A file that is longer holds more than one room."""
    counts = ((path, tree.text(path).count("\n")) for path in tree.files if path.suffix in CODE)
    return [f"{path}: {count} lines" for path, count in counts if count > LONGEST_FILE_LINES]


def catch_alls(tree: Tree) -> list[str]:
    """A module is named for what is in it. (frontend/common holds what its two pages share, and no Python.)"""
    return [
        str(path)
        for path in tree.files
        if path.suffix == ".py" and CATCH_ALLS & {part.lower() for part in (*path.parts[:-1], path.stem)}
    ]


def stray_packages(tree: Tree) -> list[str]:
    """`packaging` and `tests` must not hide the packages of these names that others install."""
    return [
        str(path) for path in tree.files if path in (Path("packaging/__init__.py"), Path("tests/__init__.py"))
    ]


def not_installed(tree: Tree) -> list[str]:
    """What lies in a package is installed with it: each folder with Python is a package, each other file is listed data."""
    listed = (
        set(re.findall(r'"\*\*/\*(\.\w+)"', tree.text(Path("pyproject.toml"))))
        if tree.has("pyproject.toml")
        else set()
    )
    found = []
    for path in tree.files:
        if path.parts[0] not in PACKAGES:
            continue
        if path.suffix == ".py":
            if not tree.has(path.parent / "__init__.py"):
                found.append(f"{path}: its folder has no __init__.py")
        elif path.parts[0] != "frontend" or path.suffix not in listed:
            found.append(f"{path}: is not among the package data in pyproject.toml")
    return found


def forbidden_words(tree: Tree) -> list[str]:
    found = []
    for path in tree.files:
        if path.suffix not in TEXT or path.name == "LICENSE":
            continue
        patterns = dict(WORDS)
        if path.parts[0] in PRODUCT and path.suffix in CODE:
            patterns |= FORBIDDEN_PRODUCT_WORDS
        text = tree.text(path)
        for meaning, pattern in patterns.items():
            for match in pattern.finditer(text):
                line = text.count("\n", 0, match.start()) + 1
                found.append(f"{path}:{line}: {meaning}: {match.group().strip()}")
    return found


def line_ends(tree: Tree) -> list[str]:
    """Text files end in exactly one newline, and lines in nothing else."""
    found = []
    for path in tree.files:
        if path.suffix not in TEXT:
            continue
        data = (tree.root / path).read_bytes()
        if b"\r" in data:
            found.append(f"{path}: carriage returns")
        if data and (not data.endswith(b"\n") or data.endswith(b"\n\n")):
            found.append(f"{path}: does not end in one newline")
    return found


def broken_links(tree: Tree) -> list[str]:
    """Every link and picture of a document that points into the project leads somewhere, and to a heading that is there."""
    found = []
    for path in tree.files:
        if path.suffix != ".md":
            continue
        for match in LINK.finditer(FENCE.sub("", tree.text(path))):
            target = next(group for group in match.groups() if group)
            if re.match(r"[a-z]+:", target):
                continue
            file, _, anchor = target.partition("#")
            place = (tree.root / path.parent / file).resolve() if file else tree.root / path
            if not place.exists():
                found.append(f"{path}: {target} is not there")
            elif (
                anchor and place.suffix == ".md" and anchor not in anchors(place.read_text(encoding="utf-8"))
            ):
                found.append(f"{path}: {target} has no such heading")
    return found


def anchors(text: str) -> set[str]:
    """The names that the headings of a document get as link targets."""
    headings = HEADING.findall(FENCE.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


RULES = (
    walls,
    heavy_imports,
    node_process_imports,
    raft_purity,
    unsafe_imports,
    fixed_waits,
    long_files,
    catch_alls,
    stray_packages,
    not_installed,
    forbidden_words,
    line_ends,
    broken_links,
)
