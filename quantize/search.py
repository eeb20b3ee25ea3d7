"""From a model and a target to the plan that is fastest, smallest or most accurate among those that pass.

1. All that the engine has integer kernels for, in 8 bits. If that passes, it is the fastest, and the search ends.
2. Sensitivity: the masks' gradients say which groups of layers may matter (`sensitivity`); each of those is lifted by
   itself, on the engine, to every level that it has (`levels`: rounded twice, left in float, all else in fp32), to see
   how much of the masks' noise goes and how much time comes.
3. Frontier: the levels that take most noise for their time are taken, ever more of them, until a try passes; then
   those that turn out not to be needed go back.
   For the smallest: the fewest bits a weight that pass, shared out by what they cost the masks (`allocate`), are come
   near to by halves instead, if any number of bits passes.
4. Ranges: those of what would be chosen are clipped in other ways.
5. The choice: the fastest (or smallest, or most accurate) try that passes with a margin for pictures not seen.

What was measured is kept in a file after every step, so that a search that is stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from ..errors import ConversionError, NotVerifiableError
from ..models import Component
from ..runtimes.machine import this_machine
from ..search_record import Preferred
from ..staging import staged_file
from ..verification import Limits
from .describe import average_bits, resolved_recipe
from .gradients import Gradients
from .kernels import SPLITTING
from .levels import Levels, distinct
from .plan import CALIBRATED, ComponentPlan, Ranges
from .quantizer import Quantizer
from .sensitivity import expected_harm
from .trial import Bench, Noise, Score
from .tries import SearchState, Try, best_of, by_worth, cost, passes

Progress = Callable[[str, int, int], None]

# Groups below it are not weighed by themselves, in shares of the harm expected of all.
LEAST_HARM = 0.01
# What the search for the smallest chooses from, the fewest first.
AVERAGE_BITS = tuple(quarters / 4 for quarters in range(16, 33))
# What a plan scores that no engine runs.
NOTHING = Score(0.0, 0.0, 0.0, 0.0, None, 0)


@dataclass(frozen=True, eq=False)
class Search:
    """One component's search.

    `gradients`: makes those of the masks, when they are first needed. `start`: the plan with everything in 8 bits that
    the engine has kernels for. `state_file`: where progress is kept, None for nowhere. `budget`: seconds after which no
    new try is begun. `origin`: what else the measurements hold for: the calibration, and this program. `allocate`:
    makes the plan whose weights have so many bits on average, for who wants the smallest. `ranges`: what to weigh at
    the end against those of the start.
    """

    quantizer: Quantizer
    gradients: Callable[[], Gradients]
    bench: Bench
    start: ComponentPlan
    precision: str
    limits: Limits
    prefer: Preferred = "speed"
    state_file: Path | None = None
    budget: float = 3600.0
    progress: Progress | None = None
    origin: str = ""
    allocate: Callable[[float], ComponentPlan] | None = None
    ranges: tuple[Ranges, ...] = ()

    def run(self) -> SearchState:
        """Return every measurement; `choose` picks from them."""
        deadline = time.monotonic() + self.budget
        return self._with_ranges(self._levels_found(deadline), deadline)

    def _levels_found(self, deadline: float) -> SearchState:
        state, _ = self._try(self._resume(), ())
        if self.prefer == "size":
            state = self._fewest_bits(state, deadline)
        if self.prefer != "accuracy" and any(passes(one.score, self.limits) for one in self._first(state)):
            return state
        state = self._each_alone(self._sensitivity(state), deadline)
        state = self._frontier(state, deadline)
        return self._put_back(state, deadline) if self.prefer != "accuracy" else state

    @property
    def _levels(self) -> Levels:
        return Levels(self.quantizer.component, self.start, splits=self.bench.target in SPLITTING)

    def _sensitivity(self, state: SearchState) -> SearchState:
        if state.harm:
            return state
        self._show("sensitivity", 0, 1)
        by_layer = expected_harm(self.quantizer, self.start, self.gradients())
        harm = {name: sum(by_layer[layer] for layer in layers) for name, layers in self._levels.groups.items()}
        state = replace(state, harm=harm)
        self._keep(state)
        self._show("sensitivity", 1, 1)
        return state

    def _each_alone(self, state: SearchState, deadline: float) -> SearchState:
        """Lift each group to each of its levels by itself, the most harmful group first."""
        order = ["", *self._levels.float32, *self._weighed(state)]
        for done, name in enumerate(order):
            if name not in state.alone and (time.monotonic() < deadline or not name):
                self._show("each group alone", done, len(order))
                found = self._worth(name, state)
                state = replace(state, alone={**state.alone, name: found})
                self._keep(state)
        self._show("each group alone", len(order), len(order))
        return state

    def _weighed(self, state: SearchState) -> list[str]:
        """Return the levels of all groups that are expected to matter."""
        least = LEAST_HARM * sum(state.harm.values())
        ranked = sorted(state.harm, key=lambda name: state.harm[name], reverse=True)
        return [level for name in ranked if state.harm[name] >= least for level in self._levels.of_group(name)]

    def _worth(self, name: str, state: SearchState) -> Noise:
        try:
            return self.bench.worth(self._candidate(self._levels.plan((name,) if name else ())))
        except (ConversionError, NotVerifiableError):  # the engine cannot compile it so: as good as nothing lifted
            if not name:
                raise
            return state.alone[""]

    def _frontier(self, state: SearchState, deadline: float) -> SearchState:
        """Take ever more levels, twice as many at each step, until a try passes; then halve back."""
        order = by_worth(state)
        low, high, count = 1, len(order) + 1, 1
        while low < high and time.monotonic() < deadline:
            state, one = self._try(state, distinct(order[:count]))
            if passes(one.score, self.limits) and self.prefer != "accuracy":
                high = count
            else:
                low = count + 1
            count = (low + high) // 2 if high <= len(order) else min(2 * count, len(order))
        return state

    def _put_back(self, state: SearchState, deadline: float) -> SearchState:
        """From the fastest try that passes, put layers back into 8 bits, those that cost most time first."""
        passing = [one for one in state.tries if passes(one.score, self.limits) and self._is_of_levels(one)]
        if not passing:
            return state
        left = min(passing, key=lambda one: cost(one.score)).without
        for name in sorted(left, key=lambda name: state.alone[name].latency or 0.0, reverse=True):
            for fewer in self._levels.lower(left, name):
                if time.monotonic() >= deadline:
                    return state
                state, one = self._try(state, fewer)
                if passes(one.score, self.limits):
                    left = fewer
                    break
        return state

    def _first(self, state: SearchState) -> list[Try]:
        """Return the tries that lift nothing."""
        smallest = self.prefer == "size"
        return [one for one in state.tries if not one.without and (smallest or self._is_of_levels(one))]

    def _is_of_levels(self, one: Try) -> bool:
        """Whether a try is the start with levels: it has neither fewer bits nor other ranges."""
        return one.bits is None and one.plan.ranges == self.start.ranges

    def _fewest_bits(self, state: SearchState, deadline: float) -> SearchState:
        """Halve the way to the fewest bits a weight that pass, taking it that fewer never pass where more do not."""
        low, high = 0, len(AVERAGE_BITS)
        while self.allocate is not None and low < high and time.monotonic() < deadline:
            middle = (low + high) // 2
            state, one = self._try_bits(state, self.allocate(AVERAGE_BITS[middle]))
            low, high = (low, middle) if passes(one.score, self.limits) else (middle + 1, high)
        return state

    def _with_ranges(self, state: SearchState, deadline: float) -> SearchState:
        """Try the other ranges on what would be chosen. They change no kernel, so that its time holds for them."""
        best = best_of(state, self.limits, self.prefer)
        if best is None or all(one.inputs not in CALIBRATED for one in best.plan.layers):
            return state
        for ranges in self.ranges:
            plan = replace(best.plan, ranges=ranges)
            if time.monotonic() < deadline and all(one.plan != plan for one in state.tries):
                state, _ = self._tried(state, plan, best.without, latency=best.score.latency)
        return state

    def _try_bits(self, state: SearchState, plan: ComponentPlan) -> tuple[SearchState, Try]:
        known = next((one for one in state.tries if one.plan == plan), None)
        if known is not None:
            return state, known
        return self._tried(state, plan, (), bits=average_bits(self.quantizer.component, plan))

    def _try(self, state: SearchState, without: tuple[str, ...]) -> tuple[SearchState, Try]:
        known = next((one for one in state.tries if one.without == without and self._is_of_levels(one)), None)
        if known is not None:
            return state, known
        return self._tried(state, self._levels.plan(without), without)

    def _tried(
        self,
        state: SearchState,
        plan: ComponentPlan,
        without: tuple[str, ...],
        *,
        bits: float | None = None,
        latency: float | None = None,
    ) -> tuple[SearchState, Try]:
        self._show("try", len(state.tries), len(state.tries) + 1)
        score = self._score(plan)
        one = Try(plan, without, score if latency is None else replace(score, latency=latency), bits)
        state = replace(state, tries=(*state.tries, one))
        self._keep(state)
        return state, one

    def _score(self, plan: ComponentPlan) -> Score:
        try:
            return self.bench.score(self._candidate(plan))
        except (ConversionError, NotVerifiableError):  # the engine cannot compile some mixtures of fp32 and less
            if not plan.float32:
                raise
            return NOTHING

    def _candidate(self, plan: ComponentPlan) -> Component:
        """Return the component as the bundle would have it: the recipe says what the engine computes in."""
        quantized = self.quantizer.quantized(plan)
        if not any(one.weights != "float" for one in plan.layers):
            return quantized  # a float graph has its exporter's recipe
        return replace(quantized, recipe=resolved_recipe(self.quantizer.component, plan, self.precision))

    def _resume(self) -> SearchState:
        state = SearchState(self._key())
        if self.state_file is None or not self.state_file.exists():
            return state
        try:
            kept = msgspec.json.decode(self.state_file.read_bytes(), type=SearchState)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return state
        return kept if kept.key == state.key else state

    def _keep(self, state: SearchState) -> None:
        if self.state_file is not None:
            with staged_file(self.state_file) as staging:
                staging.write_bytes(msgspec.json.encode(state))

    def _key(self) -> str:
        """Return what the measurements hold for; a time is one of an engine as it was opened, on this machine."""
        bench = self.bench
        asked = [bench.suite.sha256, bench.target, bench.component, self.start, self.origin]
        measured_by = [bench.options, bench.baseline.report, this_machine()]
        return hashlib.sha256(msgspec.json.encode([asked, measured_by])).hexdigest()

    def _show(self, stage: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(f"{self.bench.component}: {stage}", done, total)
