"""What compute processes are started with."""

import os
import subprocess
import sys

import pytest

from worker.training import environment
from worker.training.environment import PORTABLE_KERNEL, child_environment, has_avx2


def test_one_thread_each_and_the_rest_is_inherited() -> None:
    made = child_environment({"PATH": "/bin", "OMP_NUM_THREADS": "8"})
    assert made["PATH"] == "/bin"
    assert made["OMP_NUM_THREADS"] == made["OPENBLAS_NUM_THREADS"] == "1"


def test_the_kernel_is_pinned_where_it_runs_unless_one_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    assert child_environment({"OPENBLAS_CORETYPE": "Zen"})["OPENBLAS_CORETYPE"] == "Zen"
    monkeypatch.setattr(environment, "has_avx2", lambda: True)
    assert child_environment({})["OPENBLAS_CORETYPE"] == PORTABLE_KERNEL
    monkeypatch.setattr(environment, "has_avx2", lambda: False)
    assert "OPENBLAS_CORETYPE" not in child_environment({})


def test_the_pinned_kernel_is_the_one_that_runs() -> None:
    code = "from worker.training.lineage import describe; print(describe()['blas_kernel'])"
    command = [sys.executable, "-W", "error", "-c", code]
    ran = subprocess.run(
        command, env=child_environment(os.environ), capture_output=True, text=True, check=True
    )
    assert ran.stderr == ""
    if has_avx2() and "OPENBLAS_CORETYPE" not in os.environ:
        assert ran.stdout.strip() == PORTABLE_KERNEL


@pytest.mark.parametrize("lowered", [True, False])
def test_priority_is_lowered_once_asked(lowered: bool) -> None:
    code = "import os; from worker.training.environment import lower_priority\n"
    code += "lower_priority()\n" if lowered else ""
    code += "print(os.nice(0) if hasattr(os, 'nice') else -1)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before = os.nice(0) if hasattr(os, "nice") else -1
    expected = min(before + environment.NICENESS, 19) if lowered and before >= 0 else before
    assert int(ran.stdout) == expected
