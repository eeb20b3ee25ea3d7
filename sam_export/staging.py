"""Output folders and files that exist whole or not at all: built in a hidden sibling, renamed into place."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import OutputError


@contextmanager
def staged_folder(final: Path) -> Iterator[Path]:
    """Yield a hidden sibling of `final`, which takes its place when the body ends without an error.

    An older `final` is replaced as a whole; after an error it is as it was, and the sibling is gone.

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
    """
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{final.name}.", suffix=".partial", dir=final.parent))
    except OSError as exc:
        raise _output_error(final, exc) from exc
    try:
        staging.chmod(0o755)
        yield staging
        _replace(staging, final)
    except OSError as exc:
        raise _output_error(final, exc) from exc
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def staged_file(final: Path) -> Iterator[Path]:
    """Yield the path of a hidden sibling of `final`, which takes its place when the body ends without an error.

    An older file is replaced; after an error it is as it was, and the sibling is gone.

    Raises:
        OutputError: the file cannot be written, or the disk is full.
    """
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{final.name}.", suffix=".partial", dir=final.parent)
        os.close(handle)
    except OSError as exc:
        raise _output_error(final, exc) from exc
    staging = Path(name)
    try:
        staging.chmod(0o644)
        yield staging
        staging.replace(final)
    except OSError as exc:
        raise _output_error(final, exc) from exc
    finally:
        staging.unlink(missing_ok=True)


def _output_error(final: Path, exc: OSError) -> OutputError:
    if exc.errno == errno.ENOSPC:
        return OutputError(f"{final}: no space left on the disk; free some, or give another -o")
    return OutputError(f"{final}: cannot be written ({exc.strerror or exc}); give another -o")


def _replace(staging: Path, final: Path) -> None:
    """Rename into place. An older folder is moved aside first and put back if the rename fails or is interrupted."""
    if not final.exists():
        staging.rename(final)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{final.name}.", suffix=".old", dir=final.parent))
    try:
        final.rename(aside / "folder")
        staging.rename(final)
    finally:
        if not final.exists():
            (aside / "folder").rename(final)
        shutil.rmtree(aside, ignore_errors=True)
