"""Temporary files and folders that the next run can tell from what a running process uses, whatever ended their owner.

Each is held by a lock of the operating system, which frees it when a process dies: also one that was killed and could
not clean up. Where there are no such locks (Windows, folders on some network disks) nothing is ever removed.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

if sys.platform != "win32":
    import fcntl

# In a pattern: what `tempfile` draws for a name.
DRAWN = "?" * 8
PROCESS_PREFIX = "sam-export-run-"


@contextmanager
def held(make: Callable[[], Path]) -> Iterator[Path]:
    """Yield what `make` makes, this process's own until the end of the body; to remove it is the caller's.

    Raises:
        OSError: it cannot be made.
    """
    path, handle = _made(make)
    try:
        yield path
    finally:
        if handle is not None:
            os.close(handle)


def remove_abandoned(folder: Path, pattern: str) -> None:
    """Remove what processes that were killed left in a folder under names like that; `DRAWN` should be part of it."""
    with suppress(OSError):
        for path in folder.glob(pattern):
            with suppress(OSError), taken(path):
                remove(path)


@contextmanager
def taken(path: Path) -> Iterator[None]:
    """Hold what another process made, alone.

    Raises:
        OSError: it is another user's, or a process holds it, or nobody can tell.
    """
    handle = _lock(path, exclusive=True)
    try:
        if os.fstat(handle).st_uid != os.getuid():
            raise PermissionError(f"{path}: another user's")
        yield
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


@contextmanager
def process_folder() -> Iterator[None]:
    """Let all temporary files of this process, those of converters too, lie in one folder, which goes with the body.

    One that a killed process left, with graphs of gigabytes in it perhaps, is removed first.
    """
    place = Path(tempfile.gettempdir())
    remove_abandoned(place, PROCESS_PREFIX + DRAWN)
    with ExitStack() as stack:
        with suppress(OSError):  # most commands need none, and those that do will say so
            folder = stack.enter_context(held(partial(_folder_in, place)))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            stack.callback(setattr, tempfile, "tempdir", tempfile.tempdir)
            tempfile.tempdir = str(folder)
        yield


def _folder_in(place: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=PROCESS_PREFIX, dir=place))


def _made(make: Callable[[], Path]) -> tuple[Path, int | None]:
    """Another process may take for abandoned what is made and not yet held: then make another."""
    while True:
        path = make()
        try:
            handle = _lock(path, exclusive=False)
        except FileNotFoundError:
            continue
        except OSError:
            return path, None
        if path.exists():
            return path, handle
        os.close(handle)


def _lock(path: Path, *, exclusive: bool) -> int:
    """Return the handle that holds it; waits if it is to be shared, raises if it is to be this process's alone.

    Shared for owners: a network disk grants no other lock on what is open for reading only.
    """
    if sys.platform == "win32":
        raise OSError("no such locks")
    # Whoever may write here may have put a pipe or a link in its place.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB if exclusive else fcntl.LOCK_SH)
    except OSError:
        os.close(handle)
        raise
    return handle
