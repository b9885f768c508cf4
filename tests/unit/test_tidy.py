"""The house keeps its rules; and each rule finds the fault that it is there for."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.unit import house_rules
from tests.unit.house_rules import Tree

ROOT = Path(__file__).resolve().parents[2]
Rule = Callable[[Tree], list[str]]


@pytest.fixture(scope="module")
def house() -> Tree:
    return Tree(ROOT)


@pytest.mark.parametrize("rule", house_rules.RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps(rule: Rule, house: Tree) -> None:
    broken = rule(house)
    assert not broken, "\n".join([str(rule.__doc__), *broken])


POLL = """
import time

def wait(gone, deadline):
    while not gone():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)
"""

FAULTS = [
    ("walls", "backend/client.py", "import worker.node\n"),
    ("walls", "worker/node.py", "def start():\n    from backend import client\n"),
    ("walls", "shared/frames.py", "from worker import node\n"),
    ("walls", "worker/monitor/pages.py", "import flask\n"),
    ("walls", "packaging/demo.py", "from backend.client import ClusterClient\n"),
    ("heavy_imports", "shared/frames.py", "import numpy as np\n"),
    ("node_process_imports", "worker/node.py", "from PIL import Image\n"),
    ("raft_purity", "worker/raft/raft.py", "import time\n"),
    ("raft_purity", "worker/raft/raft.py", "import socket\n"),
    ("raft_purity", "worker/raft/raft.py", "from shared import frames\n"),
    ("raft_purity", "worker/raft/raft.py", "import random\n\nSPREAD = random.random()\n"),
    ("raft_purity", "worker/raft/raft.py", "from random import randint\n"),
    ("raft_purity", "worker/raft/log.py", "def save():\n    open('log')\n"),
    ("unsafe_imports", "shared/frames.py", "import pickle\n"),
    ("unsafe_imports", "worker/monitor/pages.py", "from http.server import HTTPServer\n"),
    ("unsafe_imports", "worker/training/pool.py", "from multiprocessing import Pool\n"),
    ("fixed_waits", "worker/node.py", "import time\n\ntime.sleep(1)\n"),
    ("fixed_waits", "worker/node.py", POLL),
    ("fixed_waits", "backend/processes.py", POLL.replace("time.monotonic() > deadline", "looks > 100")),
    ("fixed_waits", "tests/live/test_node.py", "from time import sleep\n\nsleep(1)\n"),
    ("long_files", "worker/node.py", "x = 1\n" * 451),
    ("long_files", "frontend/app/main.js", "x();\n" * 451),
    ("catch_alls", "worker/utils.py", "x = 1\n"),
    ("catch_alls", "backend/helpers/text.py", "x = 1\n"),
    ("stray_packages", "packaging/__init__.py", ""),
    ("not_installed", "worker/storage/log.py", "x = 1\n"),
    ("not_installed", "frontend/app/notes.doc", "words\n"),
    ("not_installed", "backend/icon.png", ""),
    ("forbidden_words", "worker/node.py", "# TO" + "DO: finish\n"),
    ("forbidden_words", "tests/unit/test_node.py", "pytest.sk" + "ip('later')\n"),
    ("forbidden_words", "tests/unit/test_node.py", "@pytest.mark.sk" + "ipif(slow, reason='slow')\n"),
    ("forbidden_words", "docs/operations.md", "Look in /ho" + "me/ana/minka.\n"),
    ("forbidden_words", "frontend/app/main.js", "new Web" + "Socket('ws:');\n"),
    ("forbidden_words", "constraints.txt", "--index-url https://py" + "pi.org/simple\n"),
    ("line_ends", "docs/operations.md", "no newline"),
    ("line_ends", "shared/frames.py", "x = 1\n\n"),
    ("line_ends", "shared/frames.py", "x = 1\r\n"),
    ("broken_links", "README.md", "[how](docs/nowhere.md)\n"),
    ("broken_links", "README.md", "# Title\n\n[there](#elsewhere)\n"),
    ("broken_links", "README.md", "![window](docs/pictures/none.png)\n"),
]


@pytest.mark.parametrize(("rule", "name", "text"), FAULTS)
def test_a_fault_is_found(rule: str, name: str, text: str, tmp_path: Path) -> None:
    _write(tmp_path, name, text)
    broken = getattr(house_rules, rule)(Tree(tmp_path))
    assert len(broken) >= 1
    assert all(finding.startswith(name) for finding in broken)


def test_numpy_is_found_behind_any_number_of_imports(tmp_path: Path) -> None:
    _write(tmp_path, "worker/node.py", "from worker.training.plan import rounds\n")
    _write(tmp_path, "worker/training/__init__.py", "import worker.training.layers\n")
    _write(tmp_path, "worker/training/plan.py", "rounds = 1\n")
    _write(tmp_path, "worker/training/layers.py", "import numpy as np\n")
    assert house_rules.node_process_imports(Tree(tmp_path)) == [
        "worker/training/layers.py:1: numpy, reached by worker.training.layers <- worker.training <- worker.node"
    ]


def test_what_only_type_checkers_read_is_no_import(tmp_path: Path) -> None:
    _write(
        tmp_path,
        "worker/node.py",
        "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import numpy\nelse:\n    import json\n",
    )
    assert house_rules.node_process_imports(Tree(tmp_path)) == []


def test_what_keeps_the_rules_is_not_found_fault_with(tmp_path: Path) -> None:
    _write(tmp_path, "worker/node.py", "import socket\n\nfrom shared.frames import Frame\n")
    _write(tmp_path, "worker/raft/raft.py", "from random import Random\n\nfrom worker.raft.log import Log\n")
    _write(tmp_path, "worker/raft/log.py", "from collections.abc import Sequence\n")
    _write(tmp_path, "worker/training/layers.py", "import numpy as np\n")
    _write(tmp_path, "shared/frames.py", "import struct\n")
    _write(tmp_path, "shared/images.py", "import numpy as np\nfrom PIL import Image\n")
    _write(tmp_path, "packaging/builds/minka_program.py", "import multiprocessing\n\nimport backend.cli\n")
    _write(
        tmp_path,
        "README.md",
        "# One title\n\n[here](#one-title) [code](worker/node.py) [out](https://a.example)\n",
    )
    _write(tmp_path, "pyproject.toml", '[tool.setuptools.package-data]\nfrontend = ["**/*.css"]\n')
    _write(tmp_path, "frontend/common/theme.css", "body {}\n")
    for package in ("shared", "worker", "worker/raft", "worker/training", "backend", "frontend"):
        _write(tmp_path, f"{package}/__init__.py", "")
    for rule in house_rules.RULES:
        assert rule(Tree(tmp_path)) == []


DRAWINGS = sorted((ROOT / "docs" / "drawings").glob("*.box"))


@pytest.mark.parametrize("text", DRAWINGS, ids=lambda path: path.name)
def test_a_drawing_is_what_its_text_says(text: Path) -> None:
    drawn = text.with_suffix(".svg").read_text(encoding="utf-8")
    assert drawn == _script("boxes").render(text.read_text(encoding="utf-8"))


@pytest.mark.parametrize("line", ["arrow a -> b", "box a 1 1 5 5 odd title", "canvas wide 3", "circle a"])
def test_a_line_that_cannot_be_drawn_is_named(line: str) -> None:
    with pytest.raises(ValueError, match="line 2: "):
        _script("boxes").render(f"canvas 10 10\n{line}\n")


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "drawings" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(text.encode())
