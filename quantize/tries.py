"""What a search measured, and which of its tries is the best."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..errors import NotVerifiableError
from ..search_record import SPLIT, Preferred, SearchPoint
from ..verification import Limits
from .plan import ComponentPlan
from .trial import Noise, Score

# What a try must be better by than the gate asks, in shares of what the gate lets go: 0.985 and 0.925 at 8 bits.
MARGIN = 0.25
# What latencies are not told apart by, in shares of the float graph's: the same plan came out 0.39 and 0.44 in one run.
LEAST_LATENCY = 0.02


@dataclass(frozen=True)
class Try:
    """A plan and what it reached; `without`: the levels that it lifts layers to, those of most worth first. `bits`: of
    a weight on average, where they were allocated; None where the plan is the start's with levels."""

    plan: ComponentPlan
    without: tuple[str, ...]
    score: Score
    bits: float | None = None


@dataclass(frozen=True)
class SearchState:
    """All that was measured. `key` names the request that it holds for. `harm`: of each group, as expected by the
    masks' gradients. `alone`: with one level by itself; under "" with all in 8 bits."""

    key: str
    harm: dict[str, float] = field(default_factory=dict)
    alone: dict[str, Noise] = field(default_factory=dict)
    tries: tuple[Try, ...] = ()


def by_worth(state: SearchState) -> tuple[str, ...]:
    """Return the levels by how much noise goes for the time that comes, most first.

    A group's higher level follows its lower one for what it brings beyond it; where that is more than the lower one
    brings by its own time, the lower one is passed over.
    """
    whole = state.alone[""]
    worths: dict[str, float] = {}
    for name in (name for name in state.alone if name):
        lower = state.alone.get(SPLIT + name)
        worths[name] = _worth(state.alone[name], whole)
        if lower is not None and (beyond := _worth(state.alone[name], lower)) <= worths[SPLIT + name]:
            worths[name] = beyond
        elif lower is not None:
            del worths[SPLIT + name]
    return tuple(sorted(worths, key=lambda name: worths[name], reverse=True))


def _worth(one: Noise, instead: Noise) -> float:
    """Return the noise that goes by the time that comes."""
    return max(instead.power - one.power, 0.0) / max((one.latency or 0.0) - (instead.latency or 0.0), LEAST_LATENCY)


def passes(score: Score | SearchPoint, limits: Limits) -> bool:
    """Whether a try is within the limits on the search set, with a margin for pictures that it was not chosen on."""
    return score.stable_mean >= with_margin(limits.mean_iou) and score.stable_worst >= with_margin(limits.worst_iou)


def with_margin(limit: float) -> float:
    return 1 - (1 - limit) * (1 - MARGIN)


def cost(score: Score) -> float:
    """Return what is least for the fastest try; where nothing can be timed, the smallest is taken for it."""
    return float(score.bytes) if score.latency is None else score.latency


def choose(state: SearchState, limits: Limits, prefer: Preferred, subject: str) -> Try:
    """Return the try that is best in the way preferred among those that pass.

    Raises:
        NotVerifiableError: none passes; the text says how near the best came.
    """
    chosen = best_of(state, limits, prefer)
    if chosen is None:
        best = max((one.score.stable_mean for one in state.tries), default=0.0)
        raise NotVerifiableError(
            f"{subject}: none of {len(state.tries)} tries passes on the search set (best stable mean mask IoU "
            f"{best:.4f}, wanted {limits.mean_iou:g} with a margin); try --precision w8, or a larger time budget"
        )
    return chosen


def best_of(state: SearchState, limits: Limits, prefer: Preferred) -> Try | None:
    """Return the try that is best in the way preferred among those that pass; of equal ones the most accurate."""
    passing = [one for one in state.tries if passes(one.score, limits)]
    keys: Mapping[Preferred, Callable[[Try], tuple[float, ...]]] = {
        "speed": lambda one: (cost(one.score), -one.score.harsh_mean),
        "size": lambda one: (one.score.bytes, len(one.without), -one.score.harsh_mean),
        "accuracy": lambda one: (-one.score.harsh_mean,),
    }
    return min(passing, key=keys[prefer], default=None)
