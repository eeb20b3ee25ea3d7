"""Several pictures at a time: one thread and one engine of a single thread for each core.

Measured on LiteMedSAM and two cores that other programs share, four pictures with 53 prompts, one engine of two
threads against two lanes (processor seconds): onnxruntime 14.1, 9.2; MIL evaluator 49.4, 15.4. An engine's threads wait
for each other after every operation, lanes only after the last picture. OpenVINO must not pin its threads to cores: all
engines of one thread would share the first (ten encodings in two lanes: 10.3 s pinned, 5.2 s not).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from queue import SimpleQueue
from typing import TypeVar

import torch

from ..contract import Array, EngineReport, Session

Item = TypeVar("Item")
Result = TypeVar("Result")

# Each lane holds the largest tensors of an encoder, 0.3 GB for SAM's sizes.
MOST_LANES = 4


def lanes_here() -> int:
    """Return how many lanes this machine has room for: its cores, as torch counts and `OMP_NUM_THREADS` limits them."""
    return min(torch.get_num_threads(), MOST_LANES)


def threads_of_lane(lanes: int) -> int:
    """Return how many threads the engine of each lane gets."""
    return max(1, torch.get_num_threads() // lanes)


class SessionPool:
    """Sessions of one graph as one, which as many threads may run at once; satisfies `contract.Session`."""

    def __init__(self, sessions: Sequence[Session]) -> None:
        self.lanes = len(sessions)
        report = sessions[0].report
        self._report = replace(report, options={**report.options, "lanes": str(self.lanes)})
        self._idle: SimpleQueue[Session] = SimpleQueue()
        for session in sessions:
            self._idle.put(session)

    @property
    def report(self) -> EngineReport:
        return self._report

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        session = self._idle.get()
        try:
            return session.run(feeds)
        finally:
            self._idle.put(session)


def lanes_of(sessions: Iterable[Session]) -> int:
    """Return how many threads may run all of the sessions at once; 1 for an engine that does not say."""
    return min(getattr(session, "lanes", 1) for session in sessions)


def in_lanes(
    work: Callable[[Item], Result], items: Sequence[Item], lanes: int, done: Callable[[int], None] | None = None
) -> list[Result]:
    """Return `work` of every item in order; `done` is told how many are finished, first 0.

    The first exception stops it: what has begun is finished, the rest is not begun.
    """
    report = done or (lambda _: None)
    results: list[Result] = []
    report(0)
    for result in _results(work, items, lanes):
        results.append(result)
        report(len(results))
    return results


def _results(work: Callable[[Item], Result], items: Sequence[Item], lanes: int) -> Iterator[Result]:
    if lanes == 1:
        yield from map(work, items)
        return
    with _torch_threads(threads_of_lane(lanes)), ThreadPoolExecutor(lanes, thread_name_prefix="lane") as pool:
        yield from pool.map(work, items)


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    """Let torch use `count` threads in each thread that begins in the meantime."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
