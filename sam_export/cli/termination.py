"""SIGTERM, which service managers and `kill` send, as an exception: what was begun is cleaned up on the way out."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

TERMINATED = 128 + signal.SIGTERM


class Terminated(BaseException):
    """SIGTERM arrived. Not an `Exception`, so that nothing takes it for a failure of its own."""


@contextmanager
def raising_terminated() -> Iterator[None]:
    """Raise `Terminated` in the main thread when SIGTERM arrives in the meantime; in other threads do nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _raise(_signal: int, _frame: FrameType | None) -> NoReturn:
    # One is enough: a second one must not stop the cleaning up.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated
