"""Disks that are full and folders that cannot be written, as small file systems of their own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from .cases import Case, NotPossibleError, Trouble
from .commands import Command, Stock, embed, export, pull, pull_wheel, search
from .run import Place

Folder = Callable[[Place], Path]
ROOMY = "size=200m"
TEMPORARY = "the temporary folder"


def storage_cases(stock: Stock) -> Iterator[Case]:
    """Yield the cases of each folder that a command writes to; sizes in kB are below what it needs there."""
    table: tuple[tuple[Command, str, Folder, int], ...] = (
        (export(stock, "onnx"), "the destination", lambda place: place.dist, 400),
        (export(stock, "onnx", overwrite=True), "the destination", lambda place: place.dist, 3000),
        (export(stock, "onnx"), TEMPORARY, lambda place: place.temporary, 300),
        (pull(stock), "the cache", lambda place: place.cache, 300),
        (pull_wheel(stock), "the cache", lambda place: place.cache, 1200),
        (embed(stock), "the destination", lambda place: place.dist, 100),
        (search(stock), "the cache", lambda place: place.cache, 876),
    )
    for command, where, folder, kilobytes in table:
        fill = partial(disk, folder=folder, options=f"size={kilobytes}k")
        yield Case("full disk", f"{command.name}: {where}", command, fill)
        lock = partial(disk, folder=folder, options="ro")
        # Python takes another folder for temporary files then, which is right: nobody needs this one.
        yield Case("read-only folder", f"{command.name}: {where}", command, lock, refused=where != TEMPORARY)
    baked = partial(disk, folder=lambda place: place.cache, options="ro")
    yield Case(
        "read-only folder", "export onnx: a cache that has the weights", export(stock, "onnx"), baked, refused=False
    )


@contextmanager
def disk(place: Place, *, folder: Folder, options: str) -> Iterator[Trouble]:
    """Yield a file system in the place of a folder; the trouble is that it gets these options."""
    where = folder(place)
    where.mkdir(parents=True, exist_ok=True)
    if not _mounts("-t", "tmpfs", "-o", ROOMY, "tmpfs", str(where)):
        raise NotPossibleError("mounting a file system needs root")
    try:
        yield Trouble(partial(_remount, where, options), partial(_remount, where, f"rw,{ROOMY}"))
    finally:
        # Lazily: coremltools holds its file of the weights open for a while after it failed.
        subprocess.run(["/bin/umount", "--lazy", str(where)], check=True)


def _remount(where: Path, options: str) -> None:
    if not _mounts("-o", f"remount,{options}", str(where)):
        raise NotPossibleError(f"the file system does not take {options}")


def _mounts(*words: str) -> bool:
    return subprocess.run(["/bin/mount", *words], capture_output=True, check=False).returncode == 0
