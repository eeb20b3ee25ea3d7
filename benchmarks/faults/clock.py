"""Clocks that are wrong, and jump while a command runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path

from .cases import Case, NotPossibleError
from .commands import Command, Stock, embed, export, pull
from .run import Ended, Place, run

YEAR_S = 365.25 * 86400
# Years that files are of, counted from now.
AGES = (-50, 50)
LIBRARIES = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/local/lib/faketime/libfaketime.so.1")
# Years by which the clock jumps while a command runs, one every JUMP_S.
JUMPS = ("+0y", "-20y", "+10y", "-1y", "+30y")
JUMP_S = 1.0
PATIENCE_S = 170.0


def clock_cases(stock: Stock) -> Iterator[Case]:
    for command in (export(stock, "onnx"), pull(stock), embed(stock)):
        for years in AGES:
            what = (
                f"{command.name}: killed, and all files {abs(years)} years in the {'past' if years < 0 else 'future'}"
            )
            yield Case("clock", what, command, disturbed=partial(_killed_and_dated, years), refused=False)
    command = export(stock, "onnx")
    jumping = partial(_jumping, stock)
    yield Case(
        "clock", f"{command.name}: the clock jumps by years, to and fro", command, disturbed=jumping, refused=False
    )


def _killed_and_dated(years: int, command: Command, place: Place) -> Ended:
    """Kill the command on its way, give all that is there another time, and return how the next run ends."""
    run(command.words(place), place, command.conditions, kill_after=0.6)
    moment = time.time() + years * YEAR_S
    for path in place.root.rglob("*"):
        if not path.is_symlink():
            os.utime(path, (moment, moment))
    return run(command.words(place), place, command.conditions)


def fake_time(years: int) -> Mapping[str, str]:
    """Return what makes a process believe in another year; nothing where libfaketime is not installed."""
    library = _library()
    if library is None or not years:
        return {}
    return {"LD_PRELOAD": str(library), "FAKETIME": f"{years:+d}y", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def _library() -> Path | None:
    return next(chain.from_iterable(Path("/").glob(pattern[1:]) for pattern in LIBRARIES), None)


def _jumping(stock: Stock, command: Command, place: Place) -> Ended:
    library = _library()
    if library is None:
        raise NotPossibleError("libfaketime is not installed")
    clock, log = place.root / "clock", place.root / "log"
    clock.write_text(JUMPS[0])
    own = {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"}
    # What measures durations is left alone, as it is when somebody sets a clock.
    own |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "SAM_EXPORT_CACHE": str(place.cache), "TMPDIR": str(place.temporary)}
    # As the undisturbed run has them: the report says so.
    own |= {"OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "sam_export.benchmarks.faults.tiny_cli"]
    words += [str(stock.checkpoint), stock.address_row.source.address]
    with log.open("wb") as stream:
        started = time.perf_counter()
        process = subprocess.Popen(
            [*words, *command.words(place)], env={**os.environ, **own}, stdout=subprocess.DEVNULL, stderr=stream
        )
        _jump_until_ended(process, clock)
    said = log.read_text(errors="replace").splitlines()
    return Ended(process.returncode, time.perf_counter() - started, said[-1] if said else "")


def _jump_until_ended(process: subprocess.Popen[bytes], clock: Path) -> None:
    for number in range(1, round(PATIENCE_S / JUMP_S)):
        try:
            process.wait(JUMP_S)
            return
        except subprocess.TimeoutExpired:
            clock.write_text(JUMPS[number % len(JUMPS)])
    process.kill()
    process.wait()
