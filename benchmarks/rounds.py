"""Timing all that take part in one run, turn by turn: a slow spell of the machine hits all of a round alike."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ..contract import EngineReport
from ..errors import SamExportError
from ..runtimes.timing import Samples
from .contestants import Contestant
from .machine import Disturbance, ForeignTime
from .run_record import Absent, Opening, Stage
from .worker import WorkerRequest
from .worker_process import Worker, started

Progress = Callable[[str, int, int], None]
LEAST_ROUNDS = 3
# Seconds to the first mask above which an opening is not repeated: what `torch.compile` takes.
SLOW_OPENING = 20.0
# The share of a stage's seconds above which one call of each is warming up enough.
LONG_WARMUP = 0.2


@dataclass(frozen=True)
class Plan:
    """`openings`: how many fresh processes each contestant is opened in. `rounds`: the most that a stage has.

    `baseline`: without this one nothing is timed.
    """

    contestants: tuple[Contestant, ...]
    stages: tuple[Stage, ...]
    picture: str
    points_per_side: int
    rounds: int
    openings: int
    warmups: int = 2
    baseline: str | None = None


@dataclass(frozen=True)
class Timing:
    """What one contestant gave. `peak_bytes`: of its process, after all stages."""

    contestant: Contestant
    engines: dict[str, EngineReport]
    openings: tuple[Opening, ...]
    stages: dict[str, Samples]
    peak_bytes: int = 0


@dataclass(frozen=True)
class Timings:
    found: tuple[Timing, ...]
    absent: tuple[Absent, ...]
    disturbance: Disturbance


def time_all(plan: Plan, progress: Progress) -> Timings:
    """Return what every contestant took for every stage; one that fails is left out of all of them, with its reason."""
    with contextlib.ExitStack() as stack:
        return _Race(plan, progress, stack).run()


class _Race:
    def __init__(self, plan: Plan, progress: Progress, stack: contextlib.ExitStack) -> None:
        self._plan, self._progress, self._stack = plan, progress, stack
        self._absent: dict[str, Absent] = {}
        self._openings: dict[str, list[Opening]] = {one.name: [] for one in plan.contestants}
        self._workers: dict[str, Worker] = {}
        self._peaks: dict[str, int] = {}
        self._foreign = ForeignTime()

    def run(self) -> Timings:
        for turn in range(self._plan.openings):
            self._open_all(turn)
        needed = self._plan.baseline
        stages = self._plan.stages if needed is None or needed in self._workers else ()
        samples = {stage.name: self._time(stage) for stage in stages}
        found = tuple(
            Timing(
                one,
                self._workers[one.name].ready.engines,
                tuple(self._openings[one.name]),
                {stage: of_all[one.name] for stage, of_all in samples.items() if one.name in of_all},
                self._peaks.get(one.name, 0),
            )
            for one in self._plan.contestants
            if one.name in self._workers
        )
        return Timings(found, tuple(self._absent.values()), self._foreign.disturbance)

    def _open_all(self, turn: int) -> None:
        """Open each contestant in a fresh process; those of the last turn stay, and those that are slow to repeat."""
        last = turn == self._plan.openings - 1
        for done, one in enumerate(self._plan.contestants):
            self._progress("opening", turn * len(self._plan.contestants) + done, self._all_openings)
            if one.name in self._absent or one.name in self._workers:
                continue
            with self._or_absent(one), contextlib.ExitStack() as own:
                worker = own.enter_context(started(self._request(one)))
                assert worker.ready.opening is not None
                self._openings[one.name].append(worker.ready.opening)
                if last or worker.ready.opening.to_first_mask > SLOW_OPENING:
                    self._workers[one.name] = worker
                    self._stack.push(own.pop_all())
        if last:
            self._progress("opening", self._all_openings, self._all_openings)

    @property
    def _all_openings(self) -> int:
        return self._plan.openings * len(self._plan.contestants)

    def _request(self, one: Contestant) -> WorkerRequest:
        return WorkerRequest(one, self._plan.picture, self._plan.points_per_side)

    def _time(self, stage: Stage) -> dict[str, Samples]:
        """Return the samples of a stage by contestant, as many of each."""
        running = [one for one in self._plan.contestants if one.name in self._workers]
        warmups: dict[str, list[float]] = {one.name: [] for one in running}
        seconds: dict[str, list[float]] = {one.name: [] for one in running}
        for _ in range(self._plan.warmups):
            self._turn(stage, running, warmups)
            if sum(values[-1] for values in warmups.values() if values) > LONG_WARMUP * stage.seconds:
                break
        rounds = self._rounds(stage, warmups)
        self._foreign.start()
        own = 0.0
        for done in range(rounds):
            self._progress(stage.what, done, rounds)
            own += self._turn(stage, running, seconds)
        self._foreign.stop(own)
        self._progress(stage.what, rounds, rounds)
        return {
            name: Samples(tuple(values), tuple(warmups[name]))
            for name, values in seconds.items()
            if name in self._workers
        }

    def _turn(self, stage: Stage, running: Sequence[Contestant], into: dict[str, list[float]]) -> float:
        """Time each once; return the processor's seconds that they took."""
        own = 0.0
        for one in running:
            if one.name in self._workers:
                with self._or_absent(one):
                    timed = self._workers[one.name].time(stage.name)
                    into[one.name].append(timed.seconds)
                    own += timed.processor_seconds
                    self._peaks[one.name] = timed.peak_bytes
        return own

    def _rounds(self, stage: Stage, warmups: dict[str, list[float]]) -> int:
        a_round = sum(values[-1] for name, values in warmups.items() if name in self._workers and values)
        return max(LEAST_ROUNDS, min(self._plan.rounds, int(stage.seconds / max(a_round, 1e-6))))

    @contextlib.contextmanager
    def _or_absent(self, one: Contestant) -> Iterator[None]:
        try:
            yield
        except SamExportError as exc:
            self._workers.pop(one.name, None)
            self._absent[one.name] = Absent(one.name, str(exc), one.asked)
