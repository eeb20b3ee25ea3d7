"""A process that holds one contestant and times it when it is told to.

    python -m sam_export.benchmarks.worker REQUEST.json

Opens the contestant, takes a first picture and box, and says so in a line of JSON on stdout; then every line on stdin
is the name of a stage, answered by the seconds that one call took. Waits in between, so that what others are timed at
is not disturbed. Its peak memory is its own.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO

import msgspec

from ..contract import EngineReport
from ..errors import SamExportError
from ..memory import keep_freed_memory
from ..runtimes import Segmenter
from .contestants import Contestant, open_contestant
from .peak_memory import peak_bytes
from .run_record import Opening


class WorkerRequest(msgspec.Struct, frozen=True):
    """`picture`: a `.npy` of [H, W, 3] uint8. `points_per_side`: of the grid of everything mode. `spawned_at`: seconds
    since the epoch when the process was started."""

    contestant: Contestant
    picture: str
    points_per_side: int
    spawned_at: float = 0.0


class Ready(msgspec.Struct, frozen=True):
    """What a process says once it has given its first mask, or why it cannot."""

    opening: Opening | None = None
    engines: dict[str, EngineReport] = {}
    error: str | None = None


class Timed(msgspec.Struct, frozen=True):
    """`processor_seconds`: of all threads of the process in the same span. `peak_bytes`: of the process so far."""

    seconds: float = 0.0
    processor_seconds: float = 0.0
    peak_bytes: int = 0
    error: str | None = None


def serve(request: WorkerRequest, commands: TextIO, answers: TextIO) -> None:
    """Open the contestant, say so, and answer commands until there are no more."""
    start_seconds = time.time() - request.spawned_at
    imported = time.perf_counter()
    if request.contestant.kind == "pytorch":
        keep_freed_memory()  # as `sam-export` does for itself; PyTorch alone hands large tensors back at each call
    try:
        segmenter = open_contestant(request.contestant)
        opened = time.perf_counter()
        stages = _stages(segmenter, request)
        stages["new_picture"]()
        ended = time.perf_counter()
    except SamExportError as exc:
        _say(answers, Ready(error=str(exc)))
        return
    opening = Opening(start_seconds, opened - imported, ended - opened, peak_bytes())
    _say(answers, Ready(opening, segmenter.reports))
    for line in commands:
        _say(answers, _timed(stages[line.strip()]))


def _timed(stage: Callable[[], object]) -> Timed:
    before, started = time.process_time(), time.perf_counter()
    try:
        stage()
    except SamExportError as exc:
        return Timed(error=str(exc))
    return Timed(time.perf_counter() - started, time.process_time() - before, peak_bytes())


def _stages(segmenter: Segmenter, request: WorkerRequest) -> Mapping[str, Callable[[], object]]:
    """Return what each stage calls; the picture is encoded at the first that needs it."""
    from .stages import Stages

    return Stages(segmenter, Path(request.picture), request.points_per_side).calls


def _say(answers: TextIO, answer: Ready | Timed) -> None:
    answers.write(msgspec.json.encode(answer).decode() + "\n")
    answers.flush()


def main() -> None:
    # Engines and compilers print; what they say must not end up between the answers.
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        serve(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=WorkerRequest), sys.stdin, answers)


if __name__ == "__main__":
    main()
