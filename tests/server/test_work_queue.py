"""The line of jobs in front of an engine, by itself."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence

import pytest

from sam_export.server.problems import Problem
from sam_export.server.shared_work import SharedWork
from sam_export.server.work_queue import Batching, QueueLimits, WorkQueue


class Engine:
    """Doubles numbers, at a gate; keeps what it was given. A negative number is a fault."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.batches: list[list[int]] = []

    def run(self, jobs: Sequence[int]) -> list[int]:
        assert self.gate.wait(30)
        self.batches.append(list(jobs))
        if min(jobs) < 0:
            raise ValueError("a negative number")
        return [2 * job for job in jobs]


def with_queue(
    engine: Engine, use: Callable[[WorkQueue[int, int]], Awaitable[None]], *, max_waiting: int = 100, at_once: int = 4
) -> None:
    async def run() -> None:
        queue = WorkQueue[int, int](
            "engine", [engine.run], QueueLimits(max_waiting), Batching(lambda a, b: a % 2 == b % 2, at_once)
        )
        queue.start()
        try:
            await asyncio.wait_for(use(queue), 30)
        finally:
            engine.gate.set()
            await queue.stop()

    asyncio.run(run())


def test_jobs_that_are_alike_go_together_and_answers_keep_their_order() -> None:
    engine = Engine()

    async def use(queue: WorkQueue[int, int]) -> None:
        engine.gate.set()
        assert await queue.answers([1, 2, 3, 4, 5, 7, 9]) == [2, 4, 6, 8, 10, 14, 18]

    with_queue(engine, use)
    assert engine.batches == [[1, 3, 5, 7], [2, 4], [9]]


def test_a_fault_is_its_own_job_s_alone() -> None:
    engine = Engine()

    async def use(queue: WorkQueue[int, int]) -> None:
        engine.gate.set()
        answers = await asyncio.gather(*(queue.answers([job]) for job in (1, -1, 3)), return_exceptions=True)
        assert answers[0] == [2]
        assert isinstance(answers[1], ValueError)
        assert answers[2] == [6]

    with_queue(engine, use)
    assert engine.batches == [[1, -1, 3], [1], [-1], [3]]


def test_places_are_given_back_and_what_is_too_much_is_refused() -> None:
    async def use(queue: WorkQueue[int, int]) -> None:
        with queue.places(3):
            with pytest.raises(Problem) as refused, queue.places():
                pass
            assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "1")
        queue.require_places(3)
        assert queue.held == 0

    with_queue(Engine(), use, max_waiting=2)


def test_a_job_that_would_wait_too_long_is_refused_though_there_are_places() -> None:
    def run(jobs: Sequence[int]) -> list[int]:
        time.sleep(0.05)
        return list(jobs)

    async def use() -> None:
        queue = WorkQueue[int, int]("engine", [run], QueueLimits(100, patience=0.01))
        queue.start()
        with queue.places():
            queue.require_places()  # nothing is known of the engine yet
            await queue.answers([1])
            with pytest.raises(Problem) as refused:
                queue.require_places()
            assert refused.value.status == 429
            assert "expected to be free in 0 s, allowed: 0.01" in refused.value.detail
        queue.require_places()  # with nobody before it, a job is always taken
        await queue.stop()

    asyncio.run(use())


def test_a_job_that_is_given_up_is_not_begun() -> None:
    engine = Engine()

    async def use(queue: WorkQueue[int, int]) -> None:
        first, second = (asyncio.create_task(queue.answers([job])) for job in (1, 2))
        await asyncio.sleep(0.05)
        second.cancel()
        await asyncio.sleep(0)
        engine.gate.set()
        assert await first == [2]
        assert await queue.answers([5]) == [10]

    with_queue(engine, use)
    assert engine.batches == [[1], [5]]


def test_shared_work_is_cancelled_when_the_last_one_leaves() -> None:
    states: list[str] = []

    async def work() -> int:
        states.append("begun")
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            states.append("cancelled")
            raise
        return 1

    async def run() -> None:
        shared = SharedWork[int]()
        tasks = [asyncio.create_task(shared.result("a", work)) for _ in range(2)]
        await asyncio.sleep(0.01)
        tasks[0].cancel()
        await asyncio.sleep(0.01)
        assert states == ["begun"]
        tasks[1].cancel()
        await asyncio.sleep(0.01)
        assert states == ["begun", "cancelled"]

    asyncio.run(run())


def test_shared_work_that_fails_fails_for_all_and_is_begun_anew() -> None:
    async def fail() -> int:
        await asyncio.sleep(0.01)
        raise ValueError

    async def succeed() -> int:
        return 1

    async def run() -> None:
        shared = SharedWork[int]()
        answers = await asyncio.gather(*(shared.result("a", fail) for _ in range(2)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [ValueError, ValueError]
        assert await shared.result("a", succeed) == 1

    asyncio.run(run())
