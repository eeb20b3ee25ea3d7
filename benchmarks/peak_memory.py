"""The most memory that this process has held."""

from __future__ import annotations

import sys

# Linux counts in KiB, macOS in bytes.
RESOURCE_UNIT = 1 if sys.platform == "darwin" else 1024


def peak_bytes() -> int:
    """Return the largest resident size so far, in bytes."""
    import resource  # not on Windows, where this alone is missing

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RESOURCE_UNIT
