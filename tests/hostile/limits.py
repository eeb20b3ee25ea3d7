"""What reading a hostile file may take."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS = 10.0
BYTES = 2**30


@contextmanager
def bounded(what: str) -> Iterator[None]:
    """Raise AssertionError if the block takes more than `SECONDS` of processor time, or `BYTES` of new memory."""
    started, before = time.process_time(), _peak()
    yield
    seconds, grown = time.process_time() - started, _peak() - before
    assert seconds < SECONDS, f"{what}: {seconds:.1f} s"
    assert grown < BYTES, f"{what}: {grown / 2**20:.0f} MiB more memory"


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
