"""A command of `sam-export` in a process of its own, which can be killed, starved, or left without memory.

Processes are forked from one that has imported torch and the converters already: every moment at which one is killed
is then one at which it works.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from ...models import Variant
from .tiny import make_known

PRELOADED = ("sam_export.pipeline", "sam_export.benchmarks.faults.preloaded")
MARK = "SAM_EXPORT_CACHE"
PATIENCE_S = 150.0
ORPHANS_S = 5.0


@dataclass(frozen=True)
class Place:
    """The folders of one try; everything that a command writes is below `root`."""

    root: Path

    @property
    def dist(self) -> Path:
        return self.root / "dist"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def temporary(self) -> Path:
        return self.root / "tmp"

    def make(self) -> Place:
        for folder in (self.root, self.cache, self.temporary):
            folder.mkdir(parents=True, exist_ok=True)
        return self


@dataclass(frozen=True)
class Conditions:
    """What a process is given beside its words. `memory`: bytes that it may take beyond what it begins with.
    `search_pictures`: how many a search measures on, so that it takes seconds; None for all."""

    rows: tuple[Variant, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1
    memory: int | None = None
    search_pictures: int | None = None


@dataclass(frozen=True)
class Ended:
    """`status`: of the command, or minus the signal that ended it. `said`: the last line on stderr."""

    status: int
    seconds: float
    said: str

    @property
    def killed(self) -> bool:
        return self.status == -signal.SIGKILL


class Running:
    """A command on its way."""

    def __init__(self, words: Sequence[str], place: Place, conditions: Conditions) -> None:
        self._place, self._log = place, place.root / f"log-{time.monotonic_ns()}"
        own = {MARK: str(place.cache), "TMPDIR": str(place.temporary), "NO_PROXY": "127.0.0.1"}
        conditions = replace(conditions, environment={**own, **conditions.environment})
        self._process: ForkServerProcess = _context().Process(
            target=_command, args=(list(words), str(self._log), conditions)
        )
        self._process.start()
        self._started = time.perf_counter()

    def kill(self) -> None:
        self._process.kill()

    def ended(self, patience: float = PATIENCE_S) -> Ended:
        """Return how it ended; one that does not is killed, which its status then says."""
        self._process.join(patience)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        seconds = time.perf_counter() - self._started
        status = self._process.exitcode
        assert status is not None
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return Ended(status, seconds, lines[-1] if lines else "")


def run(words: Sequence[str], place: Place, conditions: Conditions, *, kill_after: float | None = None) -> Ended:
    """Return how a command ended; after so many seconds it is killed, if it has not ended."""
    running = Running(words, place, conditions)
    if kill_after is None:
        return running.ended()
    return running.ended(kill_after)


def orphans(place: Place) -> int:
    """Return how many processes of a command still run some seconds after it was killed."""
    deadline = time.monotonic() + ORPHANS_S
    while (count := len(processes_of(place))) and time.monotonic() < deadline:
        time.sleep(0.05)
    return count


def processes_of(place: Place) -> list[int]:
    """Return the processes that a command in this place has started; its own began with another environment."""
    mark = f"{MARK}={place.cache}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in entry.read_bytes().split(b"\0"):
                found.append(int(entry.parent.name))
        except OSError:  # it has ended, or is another user's
            continue
    return found


def _context() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return context


def _command(words: list[str], log: str, conditions: Conditions) -> None:
    """What the process runs."""
    with Path(log).open("wb") as stream:
        os.dup2(stream.fileno(), 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.environ.update(conditions.environment)
    tempfile.tempdir = None
    make_known(*conditions.rows)
    _with_threads(conditions.threads)
    if conditions.search_pictures is not None:
        _cut_search_set(conditions.search_pictures)
    if conditions.memory is not None:
        _limit_memory(conditions.memory)
    sys.exit(importlib.import_module("sam_export.cli").main(words))


def _cut_search_set(count: int) -> None:
    plans = vars(importlib.import_module("sam_export.quantize.search_plans"))
    whole = plans["picture_set"]
    plans["picture_set"] = lambda name: whole(name)[:count]


def _with_threads(count: int) -> None:
    import torch

    os.environ["OMP_NUM_THREADS"] = str(count)
    torch.set_num_threads(count)


def _limit_memory(more: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
