"""What reading a hostile file may take."""

from __future__ import annotations

import ctypes
import platform
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS = 10.0
BYTES = 2**30
STATUS, FORGET_PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@contextmanager
def bounded(what: str, most_bytes: int = BYTES) -> Iterator[None]:
    """Raise AssertionError if the block takes more than `SECONDS` of processor time, or `most_bytes` of memory at its
    peak beyond what the process holds before it. Off Linux, where a peak lasts, only a new one is seen."""
    started, before = time.process_time(), _settled()
    yield
    seconds, grown = time.process_time() - started, _peak() - before
    assert seconds < SECONDS, f"{what}: {seconds:.1f} s"
    assert grown < most_bytes, f"{what}: {grown / 2**20:.0f} MiB more memory"


def _settled() -> int:
    """Return the resident bytes, once freed memory is given back and the peak forgotten."""
    if sys.platform != "linux":
        return _peak()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
    FORGET_PEAK.write_text("5")
    return _status("VmRSS")


def _peak() -> int:
    if sys.platform == "linux":
        return _status("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _status(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
