"""Memory that runs out, and worker processes that the system kills for want of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial

from .cases import Case
from .commands import Command, Stock, embed, export, pull_wheel
from .run import Ended, Place, Running, processes_of, run

MEGABYTES = (4, 32, 128)
WORKER_S = 60.0
# Which of the commands may be ended by its engine, and why that stays.
ENGINE_ENDS = (
    "Cause: openvino ends the process where an allocation of its own fails while it compiles a graph. Bound: nothing "
    "half-done is left, no process goes on, and the next run succeeds, all of which this row has checked. Decision: it "
    "stays. Linux hardly ever refuses memory, it kills, which is tried above; a process of its own for every graph "
    "would cost each export seconds."
)


def memory_cases(stock: Stock) -> Iterator[Case]:
    for command in (export(stock, "onnx"), export(stock, "openvino"), embed(stock)):
        for megabytes in MEGABYTES:
            what = f"{command.name}: {megabytes} MB beyond what it begins with"
            limited = partial(_limited, megabytes)
            known = ENGINE_ENDS if "openvino" in command.name else ""
            yield Case("out of memory", what, command, disturbed=limited, refused=False, known=known)
    for command, worker in ((export(stock, "onnx", threads=2), "exporting process"), (pull_wheel(stock), "pip")):
        yield Case("out of memory", f"{command.name}: its {worker} is killed", command, disturbed=_without_worker)


def _limited(megabytes: int, command: Command, place: Place) -> Ended:
    return run(command.words(place), place, replace(command.conditions, memory=megabytes * 2**20))


def _without_worker(command: Command, place: Place) -> Ended:
    """Kill the first process that the command starts as soon as there is one."""
    running = Running(command.words(place), place, command.conditions)
    deadline = time.monotonic() + WORKER_S
    while not (found := processes_of(place)) and time.monotonic() < deadline:
        time.sleep(0.01)
    for process in found[:1]:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    return running.ended()
