"""Geometry of the page's plots, in SVG user units: accuracy against cost, steps, and what each operation reaches."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..search_record import SearchPoint
from ..verify.limits import limits_for
from ..verify.report_format import printable
from ..verify.report_search_plots import FrontierPlot, Mark, frontier_plot, nice_steps
from .claims import claim
from .grid import format_ms
from .run_record import Entry, LayerTime, Roofline, Run
from .waterfall import Chain

LOWEST = "int8"
WIDTH, LABELS, ROW, HEAD = 640, 236, 24, 22
LABEL_LENGTH = 38


@dataclass(frozen=True)
class Numbered:
    """A plot whose dots are numbered as the run's entries are."""

    title: str
    plot: FrontierPlot
    numbers: tuple[int, ...]
    label_ys: tuple[float, ...]


@dataclass(frozen=True)
class Bar:
    label: str
    y: float
    width: float
    value: str
    title: str
    kind: str


@dataclass(frozen=True)
class BarPlot:
    """Bars from the left. `heads`: what stands above some of them, with its height."""

    title: str
    axis: str
    width: int
    height: float
    left: int
    ticks: tuple[Mark, ...]
    heads: tuple[tuple[str, float], ...]
    bars: tuple[Bar, ...]


Cost = Callable[[Entry], float | None]


def plot_speed(run: Run) -> Numbered | None:
    return _numbered(run, "Accuracy against time", "image encoder, ms", lambda entry: _ms(run, entry, "encoder"))


def plot_size(run: Run) -> Numbered | None:
    def megabytes(entry: Entry) -> float | None:
        return None if entry.size is None else entry.size.disk_bytes / 1e6

    return _numbered(run, "Accuracy against size", "both graphs on disk, MB", megabytes)


def _ms(run: Run, entry: Entry, stage: str) -> float | None:
    found = claim(run, entry, stage)
    return None if found is None else found.ms


def _numbered(run: Run, title: str, axis: str, cost: Cost) -> Numbered | None:
    placed = [
        (value, _point(run, entry), number)
        for number, entry in enumerate(run.entries, start=1)
        if entry.scores is not None and (value := cost(entry)) is not None
    ]
    if len(placed) < 2:
        return None
    plot = frontier_plot([(value, point) for value, point, _ in placed], axis, limits_for(LOWEST).worst_iou)
    return Numbered(title, plot, tuple(number for _, _, number in placed), _apart(plot))


def _apart(plot: FrontierPlot) -> tuple[float, ...]:
    """Return how high each dot's number stands, those of dots that lie close side by side above one another."""
    placed: list[tuple[float, float]] = []
    for dot in plot.dots:
        y = dot.y + 4
        while any(abs(y - other) < 11 and abs(dot.label_x - x) < 16 for x, other in placed):
            y += 11
        placed.append((dot.label_x, y))
    return tuple(y for _, y in placed)


def _point(run: Run, entry: Entry) -> SearchPoint:
    assert entry.scores is not None
    found = claim(run, entry, "encoder")
    return SearchPoint(
        label=entry.name,
        stable_mean=entry.scores.mean_iou,
        stable_worst=entry.scores.worst_iou,
        harsh_mean=entry.scores.harsh_mean_iou or 0.0,
        harsh_p5=0.0,
        latency_ratio=1.0 if found is None or found.ratio is None else found.ratio,
        bytes=0 if entry.size is None else entry.size.disk_bytes,
        passed=entry.scores.passed is not False,
    )


def plot_steps(chains: Sequence[Chain]) -> BarPlot | None:
    """Return the chains below one another, a bar a step, as long as its time by the baseline's."""
    if not chains:
        return None
    across = nice_steps([0.0, *(step.ratio for chain in chains for step in chain.steps)])
    heads: list[tuple[str, float]] = []
    bars: list[Bar] = []
    y = 0.0
    for chain in chains:
        heads.append((chain.engine, y + 15))
        y += HEAD
        for step in chain.steps:
            gain = "" if step.gain is None else f", {step.gain:.2f} times as fast as the step before"
            bars.append(
                Bar(
                    _short(step.label),
                    y,
                    _length(step.ratio, across[-1]),
                    f"{step.ratio:.2f}x" + ("" if step.gain is None else f"  ({step.gain:.2f} times faster)"),
                    f"{step.entry}: {format_ms(step.ms)} ms, {step.ratio:.2f}x{gain}",
                    "" if step.gain is not None else "other",
                )
            )
            y += ROW
        y += 8
    ticks = tuple(Mark(LABELS + _length(value, across[-1]), f"{value:g}x") for value in across)
    return BarPlot("Steps", "time by the plain export's", WIDTH, y, LABELS, ticks, tuple(heads), tuple(bars))


def plot_roofline(run: Run, roofline: Roofline, title: str, layers: Sequence[LayerTime]) -> BarPlot:
    """Return a bar for each, as long as the share of the machine's best product that it reaches."""
    bars = tuple(_roofline_bar(run, roofline, one, index) for index, one in enumerate(layers))
    ticks = tuple(Mark(LABELS + _length(share, 1.0), f"{share:.0%}") for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0))
    axis = "of the GFLOP/s of the best product in its dtype"
    return BarPlot(title, axis, WIDTH, len(layers) * ROW, LABELS, ticks, (), bars)


def _roofline_bar(run: Run, roofline: Roofline, one: LayerTime, index: int) -> Bar:
    peak = run.peak(one.dtype)
    share = one.gflops / peak.gflops if peak is not None else 0.0
    spent = f"{format_ms(one.milliseconds)} ms, {one.milliseconds / roofline.milliseconds:.1%} of the time"
    reached = f"{share:.0%} in " if one.gflop else ""
    title = f"{one.op} {one.name}, {one.dtype}: {one.gflop:.2f} GFLOP, {one.gflops:.0f} GFLOP/s, {spent}"
    label = _short(f"{one.name or one.op} {one.dtype}")
    return Bar(label, index * ROW, _length(share, 1.0), f"{reached}{spent}", title, "" if one.gflop else "other")


def _length(value: float, most: float) -> float:
    share = value / most if math.isfinite(value) else 0.0
    return round(min(max(share, 0.0), 1.0) * (WIDTH - LABELS - 150), 1)


def _short(name: str) -> str:
    name = printable(name)
    return name if len(name) <= LABEL_LENGTH else "…" + name[1 - LABEL_LENGTH :]
