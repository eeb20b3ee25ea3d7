"""Output folders and files that exist whole or not at all: built in a hidden sibling, renamed into place.

A sibling that a killed process left is removed by whoever writes the same next.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from .errors import OutputError
from .held import DRAWN, held, remove, remove_abandoned, taken

PARTIAL, OLD = ".partial", ".old"
# What an older one is called in the folder that it is moved aside to.
FOLDER = "folder"
# linux/fcntl.h, linux/fs.h
AT_FDCWD, RENAME_EXCHANGE = -100, 2


@contextmanager
def staged_folder(final: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a hidden sibling of `final`, which takes its place when the body ends without an error.

    An older `final` is replaced as a whole if `overwrite`, where the system can in one step; after an error it is as
    it was, and the sibling is gone.

    Raises:
        OutputError: the folder cannot be written, there is one already, or the disk is full.
    """
    place = Path(os.path.realpath(final))  # what a link leads to is replaced, and the link stays
    settle(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with held(lambda: _folder_beside(place, PARTIAL)) as staging:
            try:
                staging.chmod(0o755)
                yield staging
                _take_place(staging, place, overwrite=overwrite)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    except OSError as exc:
        raise _output_error(final, exc) from exc


@contextmanager
def staged_file(final: Path) -> Iterator[Path]:
    """Yield the path of a hidden sibling of `final`, which takes its place when the body ends without an error.

    An older file is replaced; after an error it is as it was, and the sibling is gone. Siblings of killed processes
    stay until `remove_leftovers`: to look for them at each file would take longer than writing it.

    Raises:
        OutputError: the file cannot be written, or the disk is full.
    """
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with held(lambda: _file_beside(final)) as staging:
            try:
                staging.chmod(0o644)
                yield staging
                staging.replace(final)
            finally:
                staging.unlink(missing_ok=True)
    except OSError as exc:
        raise _output_error(final, exc) from exc


def settle(final: Path) -> None:
    """Remove what killed processes left beside a folder, and put an older one back that they had moved aside."""
    name = f".{escape(final.name)}.{DRAWN}"
    with suppress(OSError):
        for aside in final.parent.glob(name + OLD):
            with suppress(OSError), taken(aside):
                if not final.exists():
                    (aside / FOLDER).rename(final)
                remove(aside)
    remove_abandoned(final.parent, name + PARTIAL)


def remove_leftovers(folder: Path, suffix: str) -> None:
    """Remove what killed processes left of files whose names end so."""
    remove_abandoned(folder, f".*{escape(suffix)}.{DRAWN}{PARTIAL}")


def _folder_beside(final: Path, suffix: str) -> Path:
    return Path(tempfile.mkdtemp(prefix=f".{final.name}.", suffix=suffix, dir=final.parent))


def _file_beside(final: Path) -> Path:
    handle, name = tempfile.mkstemp(prefix=f".{final.name}.", suffix=PARTIAL, dir=final.parent)
    os.close(handle)
    return Path(name)


def _output_error(final: Path, exc: OSError) -> OutputError:
    if exc.errno == errno.ENOSPC:
        return OutputError(f"{final}: no space left on the disk; free some, or give another -o")
    return OutputError(f"{final}: cannot be written ({exc.strerror or exc}); give another -o")


def _take_place(staging: Path, final: Path, *, overwrite: bool) -> None:
    if overwrite and _exchanged(staging, final):
        return
    with suppress(OSError):
        final.rmdir()  # an empty one is in nobody's way but that of Windows
    try:
        staging.rename(final)
    except OSError as exc:
        if overwrite:
            _replace(staging, final)
        elif exc.errno in (errno.ENOTEMPTY, errno.EEXIST):
            text = f"{final}: another process has written it meanwhile; give --overwrite to replace it, or another -o"
            raise OutputError(text) from exc
        else:
            raise


def _exchanged(one: Path, other: Path) -> bool:
    """Swap two folders in one step; False where the system, or the disk, has no such call, or there is only one."""
    if sys.platform != "linux":
        return False
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    names = os.fsencode(one), os.fsencode(other)
    return rename is not None and rename(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE) == 0


def _replace(staging: Path, final: Path) -> None:
    """Rename in two steps. The older folder is moved aside first, and put back if the second fails or is interrupted;
    of a process that is killed between them, by the next one."""
    with held(lambda: _folder_beside(final, OLD)) as aside:
        try:
            final.rename(aside / FOLDER)
            staging.rename(final)
        finally:
            if not final.exists():
                (aside / FOLDER).rename(final)
            shutil.rmtree(aside, ignore_errors=True)
