"""On what a model was computed: written into its record, so that unlike machines can be told from damage."""

import ctypes
import os
import platform
from typing import Any

import numpy as np

KERNEL_NAMES = ("scipy_openblas_get_corename64_", "scipy_openblas_get_corename", "openblas_get_corename")


def describe() -> dict[str, Any]:
    """{"numpy", "blas", "blas_kernel", "simd", "machine"}, all text but "simd", the instruction sets that NumPy uses."""
    config: Any = np.show_config(mode="dicts")
    blas = config["Build Dependencies"]["blas"]
    return {
        "numpy": np.__version__,
        "blas": f"{blas['name']} {blas['version']}",
        "blas_kernel": _blas_kernel(),
        "simd": list(config["SIMD Extensions"].get("found", [])),
        "machine": platform.machine(),
    }


def _blas_kernel() -> str:
    """The kernel that OpenBLAS runs; what was asked of it where the library does not tell."""
    library = ctypes.CDLL(np._core._multiarray_umath.__file__)  # type: ignore[attr-defined]
    for name in KERNEL_NAMES:
        function = getattr(library, name, None)
        if function is not None:
            function.restype = ctypes.c_char_p
            return bytes(function()).decode("ascii")
    return os.environ.get("OPENBLAS_CORETYPE", "unknown")
