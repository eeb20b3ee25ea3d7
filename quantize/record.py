"""What a search measured, in the form that reports and bundles keep."""

from __future__ import annotations

import math
from collections import Counter

from ..contract import ComponentName, EngineReport
from ..search_record import FLOAT32, SPLIT, GroupHarm, Preferred, SearchPoint, SearchRecord, TryLimits
from ..verification import Limits
from .groups import group_name
from .plan import ComponentPlan, Ranges
from .trial import Score
from .tries import MARGIN, SearchState, Try, passes, with_margin

RANGES: dict[Ranges, str] = {
    "percentile": "ranges without the outermost values",
    "mse": "ranges of the least squared error",
    "mask": "ranges that the masks mind least",
}


def search_record(
    component: ComponentName,
    state: SearchState,
    limits: Limits,
    prefer: Preferred,
    engine: EngineReport,
    *,
    chosen: Try | None = None,
) -> SearchRecord:
    """Return the record of one component's search. `engine`: what the float graph's session says of itself."""
    return SearchRecord(
        component=component,
        preferred=prefer,
        engine=f"{engine.engine} {engine.version}, {engine.device}",
        threads=engine.threads,
        limits=TryLimits(with_margin(limits.mean_iou), with_margin(limits.worst_iou), MARGIN),
        points=tuple(_point(one, passed=passes(one.score, limits), chosen=one == chosen) for one in state.tries),
        harm=_harm(state),
    )


def _point(one: Try, *, passed: bool, chosen: bool) -> SearchPoint:
    score = one.score
    return SearchPoint(
        label=_label(one),
        stable_mean=_iou(score.stable_mean),
        stable_worst=_iou(score.stable_worst),
        harsh_mean=_iou(score.harsh_mean),
        harsh_p5=_iou(score.harsh_p5),
        latency_ratio=_ratio(score),
        bytes=score.bytes,
        passed=passed,
        chosen=chosen,
        without=one.without,
    )


def _label(one: Try) -> str:
    """Return in words what a try lifts: `groups: 2 split, 1 in float, the rest fp32`."""
    if one.bits is not None:
        return f"{one.bits:.1f} bits a weight"
    ranges = "" if one.plan.ranges == "minmax" else f", {RANGES[one.plan.ranges]}"
    return _levels(one) + ranges


def _levels(one: Try) -> str:
    without = one.without
    split = sum(name.startswith(SPLIT) for name in without)
    float32 = sum(name.startswith(FLOAT32) for name in without)
    counts = {"split": split, "in float": len(without) - split - float32, "in fp32": float32 - (FLOAT32 in without)}
    words = [f"{count} {what}" for what, count in counts.items() if count]
    if FLOAT32 in without:
        words.append("all else in fp32")
    return f"groups: {', '.join(words)}" if words else _start(one.plan)


def _start(plan: ComponentPlan) -> str:
    if any(layer.inputs != "float" for layer in plan.layers):
        return "all 8-bit inputs"
    if any(layer.weights != "float" for layer in plan.layers):
        return "all 8-bit weights"
    return f"all in {plan.compute}{', but for what does not fit' if plan.float32 else ''}"


def _iou(value: float) -> float:
    """JSON has no word for a number that is none; such a mask is no mask."""
    return min(max(value, 0.0), 1.0) if math.isfinite(value) else 0.0


def _ratio(score: Score) -> float | None:
    known = score.latency is not None and math.isfinite(score.latency) and score.latency > 0
    return score.latency if known else None


def _harm(state: SearchState) -> tuple[GroupHarm, ...]:
    """Return every group, the most harmful first."""
    if not state.tries:
        return ()
    layers = Counter(group_name(plan.layer) for plan in state.tries[0].plan.layers)
    ranked = sorted(state.harm.items(), key=lambda item: -item[1])
    return tuple(GroupHarm(name, max(1, layers[name]), harm) for name, harm in ranked if math.isfinite(harm))
