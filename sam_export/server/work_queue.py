"""A line of jobs in front of engines: bounded, answered in batches, and one event loop's alone.

A job that finds no place is refused at once, with the seconds after which one is likely free. Jobs that are alike
go to the engine together; one that fails in company is tried again alone, so that it fails for itself only.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from .problems import overloaded

Job = TypeVar("Job")
Answer = TypeVar("Answer")
Lane = Callable[[Sequence[Job]], Sequence[Answer]]
# How much the newest batch counts in what a job is expected to take.
NEWEST_SHARE = 0.2
LONGEST_RETRY_S = 120


@dataclass(eq=False)
class _Ticket(Generic[Job, Answer]):
    job: Job
    answer: asyncio.Future[Answer]


@dataclass(frozen=True)
class QueueLimits:
    """When a job is refused at once.

    `max_waiting`: how many jobs may be here beside those under way. `patience`: seconds that a job may be expected to
    wait; one that would not be begun in time is refused.
    """

    max_waiting: int
    patience: float = math.inf


@dataclass(frozen=True)
class Batching(Generic[Job]):
    """Which jobs go to an engine together: those that are `alike`, `at_once` at most."""

    alike: Callable[[Job, Job], bool]
    at_once: int


class WorkQueue(Generic[Job, Answer]):
    """Jobs on their way to the lanes, each an engine with a thread of its own.

    Args:
        name: for messages and metrics.
        lanes: what answers a batch, in its order.
        batching: without it every batch is one job.
        observe: told the size and the seconds of every batch.
    """

    def __init__(
        self,
        name: str,
        lanes: Sequence[Lane[Job, Answer]],
        limits: QueueLimits,
        batching: Batching[Job] | None = None,
        observe: Callable[[int, float], None] = lambda _size, _seconds: None,
    ) -> None:
        self.name = name
        self._lanes = tuple(lanes)
        self._places = limits.max_waiting + len(self._lanes)
        self._patience = limits.patience
        self._held = 0
        self._batching = batching
        self._observe = observe
        self._waiting: deque[_Ticket[Job, Answer]] = deque()
        self._arrived = asyncio.Event()
        self._job_seconds = 0.0
        self._running: list[asyncio.Task[None]] = []

    @property
    def held(self) -> int:
        """How many places are taken, by jobs that wait and by those under way."""
        return self._held

    def start(self) -> None:
        self._running = [asyncio.create_task(self._serve(lane)) for lane in self._lanes]

    async def stop(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def require_places(self, count: int = 1) -> None:
        """Raise a 429 unless so many jobs would find a place now."""
        expected = self._expected_wait()
        if self._held + count > self._places:
            what = f"{self._held} jobs wait for the {self.name}, at most {self._places}"
        elif expected > self._patience:
            what = f"the {self.name} is expected to be free in {expected:.0f} s, allowed: {self._patience:g}"
        else:
            return
        raise overloaded(f"{what}; try again later", min(LONGEST_RETRY_S, max(1, math.ceil(expected))))

    @contextmanager
    def places(self, count: int = 1) -> Iterator[None]:
        """Hold places for jobs that come, so that nothing is prepared that is refused then; raises a 429."""
        self.require_places(count)
        self._held += count
        try:
            yield
        finally:
            self._held -= count

    async def answers(self, jobs: Sequence[Job]) -> list[Answer]:
        """Return the answers to jobs that hold places, in order; one that fails raises. Cancelled, none is begun."""
        loop = asyncio.get_running_loop()
        tickets = [_Ticket[Job, Answer](job, loop.create_future()) for job in jobs]
        self._waiting.extend(tickets)
        self._arrived.set()
        try:
            return await asyncio.gather(*(ticket.answer for ticket in tickets))
        finally:
            for ticket in tickets:
                ticket.answer.cancel()
                with suppress(ValueError):
                    self._waiting.remove(ticket)

    def _expected_wait(self) -> float:
        return self._held * self._job_seconds / len(self._lanes)

    async def _serve(self, lane: Lane[Job, Answer]) -> None:
        with ThreadPoolExecutor(1, thread_name_prefix=self.name) as thread:
            while True:
                while not self._waiting:
                    self._arrived.clear()
                    await self._arrived.wait()
                await self._answer(lane, thread, self._batch())

    def _batch(self) -> list[_Ticket[Job, Answer]]:
        """Take the first job and those like it, as many as go together."""
        first = self._waiting.popleft()
        batch = [first]
        if self._batching is not None:
            for ticket in tuple(self._waiting):
                if len(batch) < self._batching.at_once and self._batching.alike(first.job, ticket.job):
                    self._waiting.remove(ticket)
                    batch.append(ticket)
        return batch

    async def _answer(
        self, lane: Lane[Job, Answer], thread: ThreadPoolExecutor, batch: list[_Ticket[Job, Answer]]
    ) -> None:
        started = time.perf_counter()
        try:
            answers = await asyncio.get_running_loop().run_in_executor(thread, lane, [one.job for one in batch])
        except Exception as exc:  # an engine may raise anything, and the next job must find it running
            if len(batch) > 1:
                for ticket in batch:
                    await self._answer(lane, thread, [ticket])
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(exc)
            return
        self._note(len(batch), time.perf_counter() - started)
        for ticket, answer in zip(batch, answers, strict=True):
            if not ticket.answer.done():
                ticket.answer.set_result(answer)

    def _note(self, size: int, seconds: float) -> None:
        newest = seconds / size
        self._job_seconds += (newest - self._job_seconds) * (NEWEST_SHARE if self._job_seconds else 1.0)
        self._observe(size, seconds)
