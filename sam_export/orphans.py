"""Processes that this program starts, and that shall not go on without it."""

from __future__ import annotations

import os
import threading

STDIN = 0


def end_with_parent() -> None:
    """End this process once the end of its stdin is closed that the process holds which started it.

    A parent that is killed cannot end its children, but the system closes what it held open. To be started so, a
    process gets a pipe for stdin that nobody writes to.
    """
    threading.Thread(target=_wait_and_end, daemon=True).start()


def _wait_and_end() -> None:
    os.read(STDIN, 1)
    os._exit(1)
