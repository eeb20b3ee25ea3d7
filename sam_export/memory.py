"""How this process holds memory."""

from __future__ import annotations

import ctypes
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import SamExportError

# malloc.h of glibc.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
# As torch, C++ below onnxruntime and OpenVINO, the system, Python's threads, the loader of libraries and oneDNN below
# torch and OpenVINO say it; oneDNN also when it has no room for the code that it makes. A primitive *descriptor* that
# cannot be made is another thing: shapes or types that it has no kernel for.
OUT_OF_MEMORY = re.compile(
    r"can't allocate memory|bad_alloc|Failed to allocate memory|Cannot allocate memory|can't start new thread"
    r"|failed to map segment|could not create a primitive(?! desc)|could not create a memory"
)


def keep_freed_memory() -> None:
    """Make glibc keep what is freed, for a process that frees and asks for the same large tensors again and again.

    By default it hands every block above 32 MB back, and the kernel clears each page anew: 327,000 page faults and a
    third of the time of LiteMedSAM's encoder in PyTorch (1.48 s, then 0.94 s, on two cores), for a sixth less memory.
    Other C libraries are left as they are.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(M_TRIM_THRESHOLD, -1)
    mallopt(M_MMAP_MAX, 0)
    # Arenas of threads hold 64 MB at most.
    mallopt(M_ARENA_MAX, 1)


@contextmanager
def memory_errors() -> Iterator[None]:
    """Say in one line that there is no more memory, as Python or an engine of ours finds it.

    Raises:
        SamExportError: instead of their exceptions.
    """
    try:
        yield
    except SamExportError:
        raise
    except Exception as exc:
        if isinstance(exc, MemoryError) or OUT_OF_MEMORY.search(str(exc)):
            raise SamExportError(
                "out of memory; end other programs, set OMP_NUM_THREADS=1, or take a smaller model"
            ) from exc
        raise
