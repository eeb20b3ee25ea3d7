"""The checkpoints kept on this machine, each verified before it has its name.

    <cache>/checkpoints/<model>/<stem>-<first 8 of its hash><suffix>      whole and verified
                                <same>.part, .part.etag, .part.wheel      on its way, resumed by the next pull
                                <same>.lock                               one pull at a time

<cache> is the platform's own (~/.cache/sam-export on Linux), or SAM_EXPORT_CACHE. With the hash in the name a new
release that pins another file fetches that one, and a file that no longer has its hash was damaged here.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Protocol

import filelock
import platformdirs

from ..errors import CheckpointError
from ..manifest import file_sha256
from .sources import Source
from .transfer import Progress

__all__ = ["Pinned", "Progress", "cache_folder", "cached", "checkpoint_path", "pull"]

CACHE_VARIABLE = "SAM_EXPORT_CACHE"
LOCK_WAIT_S = 1800.0
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Pinned(Protocol):
    """What the cache needs to know of a variant. Without one of the two hashes it is not pulled.

    `git_blob` is git's object id: sha1 of `blob <size>\\0` and the content.
    """

    @property
    def name(self) -> str: ...
    @property
    def source(self) -> Source: ...
    @property
    def checkpoint_bytes(self) -> int | None: ...
    @property
    def checkpoint_sha256(self) -> str | None: ...
    @property
    def git_blob(self) -> str | None: ...


def cache_folder() -> Path:
    """Return the folder that holds all that sam-export keeps; it need not exist yet."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return (
        Path(chosen).expanduser().absolute() if chosen else platformdirs.user_cache_path("sam-export", appauthor=False)
    )


def checkpoint_path(variant: Pinned) -> Path:
    """Return where the variant's checkpoint lies once it was pulled."""
    name = PurePath(variant.source.filename)
    return cache_folder() / "checkpoints" / variant.name / f"{name.stem}-{_pinned_hash(variant)[:8]}{name.suffix}"


def cached(variant: Pinned) -> Path | None:
    """Return the cached checkpoint, or None. Looks at name and size only; `pull` checks the hash before use."""
    if not (variant.checkpoint_sha256 or variant.git_blob):
        return None
    path = checkpoint_path(variant)
    try:
        found = path.stat().st_size
    except OSError:
        return None
    return path if variant.checkpoint_bytes in (None, found) else None


def pull(variant: Pinned, progress: Progress | None = None) -> Path:
    """Return the checkpoint's path, its hash just verified, fetched first if it is not there.

    A file that is there with a wrong hash is an error, not fetched anew: it was right when it got its name, so
    the disk or another program changed it, which its owner should hear of.

    Raises:
        CheckpointError: damaged in the cache, not to be had from its source, or not the pinned file; or the
            cache cannot be written. What had arrived is kept for the next pull, unless it is wrong.
        MissingDependencyError: a package that the source needs is not installed.
    """
    path = checkpoint_path(variant)
    with _cache_errors(path, variant):
        # Before the lock, which must write: a cache baked into a read-only image serves too.
        if path.exists():
            return _undamaged(path, variant)
        with _only_one(path, variant, progress):
            return _undamaged(path, variant) if path.exists() else _fetch(path, variant, progress)


def _undamaged(path: Path, variant: Pinned) -> Path:
    try:
        difference = _difference(path, variant)
    except OSError as exc:
        raise CheckpointError(
            f"{path}: cannot be read ({exc.strerror}); mend its permissions or set {CACHE_VARIABLE}"
        ) from exc
    if difference:
        raise CheckpointError(
            f"{path}: was changed since it was pulled ({difference});"
            f" delete it, then run `sam-export pull {variant.name}`"
        )
    return path


def _fetch(path: Path, variant: Pinned, progress: Progress | None) -> Path:
    """Bring the file in under a temporary name, and give it its own once it is the pinned one."""
    partial = path.with_name(path.name + ".part")
    _require_space(partial, variant)
    variant.source.fetch(partial, variant.checkpoint_bytes, progress)
    if progress:
        progress("verify", 0, 0)
    difference = _difference(partial, variant)
    if difference:
        _remove_beside(partial)
        partial.unlink()
        raise CheckpointError(
            f"{variant.name}: {variant.source.address} gave another file than the pinned one ({difference}),"
            " which was not kept; pull again, and if it stays so look for a newer sam-export"
            " or give a trusted file with --checkpoint"
        )
    with partial.open("rb+") as stream:
        os.fsync(stream.fileno())
    _remove_beside(partial)  # before it has its name: afterwards nobody would look for them again
    partial.replace(path)
    return path


def _difference(path: Path, variant: Pinned) -> str:
    """Return what sets the file apart from the pinned one, empty if nothing does."""
    size = path.stat().st_size
    if variant.checkpoint_bytes not in (None, size):
        return f"{size} bytes, {variant.checkpoint_bytes} are pinned"
    if variant.checkpoint_sha256 and (found := file_sha256(path)) != variant.checkpoint_sha256:
        return f"sha256 {found}, pinned {variant.checkpoint_sha256}"
    if variant.git_blob and (found := git_blob_id(path)) != variant.git_blob:
        return f"git blob {found}, pinned {variant.git_blob}"
    return ""


def git_blob_id(path: Path) -> str:
    """Return the id that git gives the file's content."""
    with path.open("rb") as stream:
        header = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
        return hashlib.file_digest(stream, header.copy).hexdigest()


def _pinned_hash(variant: Pinned) -> str:
    pinned = variant.checkpoint_sha256 or variant.git_blob
    if not pinned:
        raise CheckpointError(
            f"{variant.name}: no hash of its checkpoint is on record, so it is not pulled; get "
            f"{variant.source.address} yourself and give the file with --checkpoint"
        )
    return pinned


def _require_space(partial: Path, variant: Pinned) -> None:
    """Refuse before the transfer what cannot fit; without a known size the disk itself will tell."""
    have = partial.stat().st_size if partial.exists() else 0
    missing = (variant.checkpoint_bytes or 0) - have
    if missing > shutil.disk_usage(partial.parent).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(partial))


def _remove_beside(partial: Path) -> None:
    for file in partial.parent.glob("*"):
        if file.name.startswith(f"{partial.name}."):
            shutil.rmtree(file) if file.is_dir() else file.unlink()


@contextmanager
def _cache_errors(path: Path, variant: Pinned) -> Iterator[None]:
    """Turn what the disk refuses into one line with the way out."""
    try:
        yield
    except OSError as exc:
        if exc.errno in NO_SPACE:
            needed = f"{variant.checkpoint_bytes} bytes are needed" if variant.checkpoint_bytes else str(exc.strerror)
            raise CheckpointError(
                f"{variant.name}: no space left for {path} ({needed}); free some, or set {CACHE_VARIABLE} to another"
                " folder; what arrived is kept, the next pull goes on from there"
            ) from exc
        raise CheckpointError(
            f"{variant.name}: the cache {path.parent} cannot be used ({exc.strerror or exc});"
            f" mend its permissions, or set {CACHE_VARIABLE} to a folder that can be written"
        ) from exc


@contextmanager
def _only_one(path: Path, variant: Pinned, progress: Progress | None) -> Iterator[None]:
    """Hold the file's lock; the operating system frees it when a process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path.with_name(path.name + ".lock"), poll_interval=0.2)
    try:
        _acquire(lock, progress)
    except filelock.Timeout as exc:
        raise CheckpointError(
            f"{variant.name}: another process has been pulling it for {LOCK_WAIT_S / 60:.0f} minutes;"
            " wait for it or end it"
        ) from exc
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: filelock.BaseFileLock, progress: Progress | None) -> None:
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        if progress:
            progress("wait for another pull", 0, 0)
        lock.acquire(timeout=LOCK_WAIT_S)
