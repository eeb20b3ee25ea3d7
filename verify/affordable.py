"""How many of the gate's pictures a model is measured on: all of them, unless one takes too long."""

from __future__ import annotations

import time

import torch

LONG_SECONDS = 10.0
FEWEST = 2


def processor_seconds() -> float:
    """Return this process's own time, its threads side by side: what else runs here must not choose the set."""
    return time.process_time() / torch.get_num_threads()


def affordable(count: int, seconds: float) -> int:
    """Return how many of `count` pictures to take where the reference needs `seconds` for one.

    The time that all of them may take is `count * LONG_SECONDS`; slower models are measured on as many as fit into it.
    """
    if seconds < LONG_SECONDS:
        return count
    return min(count, max(FEWEST, int(count * LONG_SECONDS / seconds)))


def affordable_note(taken: int, count: int, seconds: float) -> tuple[str, ...]:
    """Return what reports say of pictures that were left out; nothing where none was."""
    if taken == count:
        return ()
    return (f"measured on {taken} of {count} pictures: the reference takes {seconds:.0f} s for one here",)
