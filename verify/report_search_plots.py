"""Geometry of the plots of a search, in SVG user units: its frontier, and the harm expected of each group of layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..search_record import SPLIT, GroupHarm, SearchPoint, SearchRecord
from .report_format import format_bytes, format_iou, printable

WIDTH = 420
HEIGHT = 270
LEFT = 44
RIGHT = 14
TOP = 14
BOTTOM = 26
# 1 - IoU on a logarithmic axis, as in the plot of all prompts; the label is the IoU.
LOSSES = (1.0, *(digit * 10.0**-power for power in range(1, 6) for digit in (5, 2, 1)))
MOST_TICKS = 8
HARM_LEFT = 210
HARM_ROW_HEIGHT = 19
HARM_ROWS = 14
HARM_LABEL_LENGTH = 34
HARM_DECADES = 5

Measure = Callable[[SearchPoint], float | None]


@dataclass(frozen=True)
class Mark:
    """A labelled place on one axis."""

    at: float
    label: str


@dataclass(frozen=True)
class PointDot:
    """`label_x` and `anchor`: where the chosen point's name goes, beside its dot and inside the plot."""

    x: float
    y: float
    passed: bool
    chosen: bool
    title: str
    label_x: float
    anchor: str


@dataclass(frozen=True)
class FrontierPlot:
    """Worst mask IoU against what a point costs, less to the left. `frontier`: the path of points that none beats."""

    axis: str
    width: int
    height: int
    left: int
    right: float
    top: int
    bottom: float
    x_ticks: tuple[Mark, ...]
    y_ticks: tuple[Mark, ...]
    limit: Mark
    frontier: str
    dots: tuple[PointDot, ...]


@dataclass(frozen=True)
class HarmRow:
    label: str
    title: str
    y: float
    x: float
    left_out: bool


@dataclass(frozen=True)
class HarmPlot:
    """`hidden`: how many groups, all less harmful, are not drawn."""

    width: int
    height: float
    left: int
    ticks: tuple[Mark, ...]
    rows: tuple[HarmRow, ...]
    hidden: int


def plot_latency(record: SearchRecord) -> FrontierPlot | None:
    """Return the points by latency, or None where none was timed."""
    return _frontier_plot(
        record, "time, as a multiple of the float graph’s on the same engine", lambda one: one.latency_ratio
    )


def plot_size(record: SearchRecord) -> FrontierPlot | None:
    """Return the points by size, or None where all are about as large, which a sentence says better."""
    sizes = [point.bytes for point in record.points]
    if not sizes or max(sizes) <= 1.02 * min(sizes):
        return None
    return _frontier_plot(record, "size on disk, MB", lambda one: one.bytes / 1e6)


def _frontier_plot(record: SearchRecord, axis: str, measure: Measure) -> FrontierPlot | None:
    placed = [(value, point) for point in record.points if (value := measure(point)) is not None]
    return frontier_plot(placed, axis, record.limits.worst_iou) if placed else None


def frontier_plot(placed: Sequence[tuple[float, SearchPoint]], axis: str, limit: float) -> FrontierPlot:
    """Return the plot of points by what each costs; `limit`: the worst mask IoU that passes. Keeps their order."""
    across = nice_steps([value for value, _ in placed])
    up = loss_steps([*(_loss(point.stable_worst) for _, point in placed), _loss(limit)])

    def x_of(value: float) -> float:
        return round(LEFT + (value - across[0]) / (across[-1] - across[0]) * (WIDTH - LEFT - RIGHT), 1)

    def y_of(iou: float) -> float:
        share = math.log(_loss(iou) / up[-1]) / math.log(up[0] / up[-1])
        return round(TOP + min(max(share, 0.0), 1.0) * (HEIGHT - TOP - BOTTOM), 1)

    spots = [(x_of(value), y_of(point.stable_worst)) for value, point in placed]
    return FrontierPlot(
        axis=axis,
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=WIDTH - RIGHT,
        top=TOP,
        bottom=HEIGHT - BOTTOM,
        x_ticks=tuple(Mark(x_of(value), f"{value:g}") for value in across),
        y_ticks=tuple(Mark(y_of(1 - loss), f"{1 - loss:g}") for loss in up),
        limit=Mark(y_of(limit), format_iou(limit)),
        frontier=_path(spots),
        dots=tuple(_dot(point, *spot) for (_, point), spot in zip(placed, spots, strict=True)),
    )


def _dot(point: SearchPoint, x: float, y: float) -> PointDot:
    near_the_edge = x > 0.7 * WIDTH
    return PointDot(
        x,
        y,
        point.passed,
        point.chosen,
        _title(point),
        x - 11 if near_the_edge else x + 11,
        "end" if near_the_edge else "start",
    )


def _title(point: SearchPoint) -> str:
    timed = "" if point.latency_ratio is None else f"{format_ratio(point.latency_ratio)}, "
    return (
        f"{point.label}: worst IoU {format_iou(point.stable_worst)}, mean {format_iou(point.stable_mean)}, "
        f"{timed}{format_bytes(point.bytes)}, {'passed' if point.passed else 'failed'}"
    )


def _path(spots: Sequence[tuple[float, float]]) -> str:
    """Return a staircase through the points that no other is both left of and above; "" for fewer than two."""
    best: list[tuple[float, float]] = []
    for x, y in sorted(spots):
        if not best or y < best[-1][1]:
            best.append((x, y))
    steps = "".join(f" H{x} V{y}" for x, y in best[1:])
    return f"M{best[0][0]} {best[0][1]}{steps}" if steps else ""


def nice_steps(values: Sequence[float]) -> tuple[float, ...]:
    """Return equal steps of 1, 2 or 5 times a power of ten around the values, three to eight of them."""
    low, high = min(values), max(values)
    span = max(high - low, 0.05 * abs(high), 1e-9)
    step = next(size for size in _sizes(span / 6) if size >= span / 6)
    first = math.floor(low / step + 1e-9)
    last = max(math.ceil(high / step - 1e-9), first + 2)
    return tuple(round(index * step, 12) for index in range(first, last + 1))


def _sizes(about: float) -> tuple[float, ...]:
    power = 10.0 ** math.floor(math.log10(about))
    return power, 2 * power, 5 * power, 10 * power, 20 * power


def loss_steps(losses: Sequence[float]) -> tuple[float, ...]:
    """Return the losses to label, largest first, from one that is no smaller than any to one that is no larger."""
    low, high = min(losses), max(losses)
    first = min(max(index for index, loss in enumerate(LOSSES) if loss >= high - 1e-12), len(LOSSES) - 2)
    last = max(min(index for index, loss in enumerate(LOSSES) if loss <= low + 1e-12), first + 1)
    steps = LOSSES[first : last + 1]
    if len(steps) <= MOST_TICKS:
        return steps
    fewer = (_thinned(steps, digits) for digits in ("15", "1"))
    return next((some for some in fewer if len(some) <= MOST_TICKS), (steps[0], steps[-1]))


def _thinned(steps: tuple[float, ...], digits: str) -> tuple[float, ...]:
    """Return both ends, and in between the losses that start with one of the digits."""
    return (steps[0], *(loss for loss in steps[1:-1] if f"{loss:e}"[0] in digits), steps[-1])


def _loss(iou: float) -> float:
    return 1.0 if not math.isfinite(iou) else min(max(1.0 - iou, LOSSES[-1]), 1.0)


def plot_harm(record: SearchRecord) -> HarmPlot | None:
    """Return a row for each of the most harmful groups: its share of all harm, or None where there is none."""
    ranked = sorted((one for one in record.harm if one.harm > 0), key=lambda one: (-one.harm, one.group))
    total = sum(one.harm for one in ranked)
    if not ranked or not math.isfinite(total):
        return None
    shown = ranked[:HARM_ROWS]
    lowest = math.floor(math.log10(max(shown[-1].harm / total, 10.0**-HARM_DECADES)) + 1e-9)
    decades = range(min(lowest, -1), 1)
    chosen = record.chosen.without if record.chosen else ()
    fates = {
        name.removeprefix(SPLIT): "rounded twice" if name.startswith(SPLIT) else "left in float" for name in chosen
    }
    return HarmPlot(
        width=WIDTH,
        height=len(shown) * HARM_ROW_HEIGHT + 30,
        left=HARM_LEFT,
        ticks=tuple(Mark(_harm_x(10.0**power, decades), f"{10.0**power * 100:g} %") for power in decades),
        rows=tuple(_harm_row(index, one, total, decades, fates) for index, one in enumerate(shown)),
        hidden=len(record.harm) - len(shown),
    )


def _harm_row(index: int, one: GroupHarm, total: float, decades: range, fates: Mapping[str, str]) -> HarmRow:
    share = one.harm / total
    layers = f"{one.layers} layer{'s' if one.layers > 1 else ''}"
    fate = fates.get(one.group, "quantized")
    return HarmRow(
        shortened(one.group),
        f"{one.group}: {100 * share:.3g} % of the harm expected of all, {layers}, {fate}",
        (index + 0.5) * HARM_ROW_HEIGHT,
        _harm_x(share, decades),
        one.group in fates,
    )


def _harm_x(share: float, decades: range) -> float:
    place = (math.log10(max(share, 10.0 ** decades[0])) - decades[0]) / -decades[0]
    return round(HARM_LEFT + place * (WIDTH - HARM_LEFT - RIGHT - 8), 1)


def shortened(name: str) -> str:
    """Return the end of a layer's name, which tells it from its neighbours."""
    name = printable(name)
    return name if len(name) <= HARM_LABEL_LENGTH else "…" + name[1 - HARM_LABEL_LENGTH :]


def format_ratio(value: float | None) -> str:
    """Return a time by the float graph's with two decimals, rounded up."""
    return "not timed" if value is None else f"{math.ceil(value * 100 - 1e-9) / 100:.2f}×"
