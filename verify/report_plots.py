"""Geometry of the report's two plots, in SVG user units. The template draws it; the page's style colours it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ..verification import PromptScore, TensorScore
from .report_format import format_iou, format_snr, printable

WIDTH = 420
LEFT = 108
RIGHT = 10
ROW_HEIGHT = 46
BINS = 44
# 1 - IoU is drawn on a logarithmic axis, since what matters happens between 0.99 and 1.
SMALLEST_LOSS = 1e-5
IOU_TICKS = ((1.0, "0"), (0.1, "0.9"), (1e-2, "0.99"), (1e-3, "0.999"), (1e-4, "0.9999"), (0.0, "1"))
SNR_ROW_HEIGHT = 17
SNR_ROWS = 40
LABEL_LENGTH = 14


@dataclass(frozen=True)
class Tick:
    x: float
    label: str


@dataclass(frozen=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    below_limit: bool
    title: str


@dataclass(frozen=True)
class Histogram:
    """The prompts of one kind. `gated`: the limit applies to them."""

    label: str
    count: int
    gated: bool
    top: float
    base: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class IouPlot:
    width: int
    height: float
    left: float
    ticks: tuple[Tick, ...]
    limit: Tick | None
    rows: tuple[Histogram, ...]


@dataclass(frozen=True)
class Dot:
    x: float
    series: int
    title: str


@dataclass(frozen=True)
class SnrRow:
    label: str
    title: str
    y: float
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class SnrPlot:
    """`hidden`: how many pictures, all with a higher ratio, are not drawn."""

    width: int
    height: float
    left: float
    ticks: tuple[Tick, ...]
    series: tuple[str, ...]
    rows: tuple[SnrRow, ...]
    hidden: int


def plot_iou(groups: Iterable[tuple[str, bool, tuple[PromptScore, ...]]], worst_limit: float | None) -> IouPlot:
    """Return one histogram of mask IoU per group: (kind, gated, its scores)."""
    rows = tuple(_histogram(index, *group, worst_limit) for index, group in enumerate(groups))
    return IouPlot(
        width=WIDTH,
        height=len(rows) * ROW_HEIGHT + 30,
        left=LEFT,
        ticks=tuple(Tick(_iou_x(1 - loss), label) for loss, label in IOU_TICKS),
        limit=None if worst_limit is None else Tick(_iou_x(worst_limit), format_iou(worst_limit)),
        rows=rows,
    )


def _histogram(
    index: int, kind: str, gated: bool, scores: tuple[PromptScore, ...], worst_limit: float | None
) -> Histogram:
    base = (index + 1) * ROW_HEIGHT
    floor = worst_limit if gated and worst_limit is not None else -math.inf
    ious = [score.mask_iou for score in scores]
    # Not `<`: an IoU that is not a number is below every limit.
    failing = [(*entry, True) for entry in _binned([iou for iou in ious if not iou >= floor])]
    bins = failing + [(*entry, False) for entry in _binned([iou for iou in ious if iou >= floor])]
    tallest = max((len(values) for _, values, _ in bins), default=1)
    bars = tuple(_bar(place, values, failed, base, tallest) for place, values, failed in bins)
    return Histogram(_shorten(kind), len(scores), gated, base - ROW_HEIGHT, base, bars)


def _binned(values: list[float]) -> list[tuple[int, list[float]]]:
    bins: dict[int, list[float]] = {}
    for value in values:
        place = round((_iou_x(value) - LEFT) / _plot_width() * (BINS - 1))
        bins.setdefault(place, []).append(value)
    return sorted(bins.items())


def _bar(place: int, values: list[float], failed: bool, base: float, tallest: int) -> Bar:
    # A lone prompt among hundreds must stay visible, so a bar is never lower than 3 units.
    height = max(3.0, len(values) / tallest * (ROW_HEIGHT - 14))
    step = _plot_width() / (BINS - 1)
    low, high = format_iou(min(values)), format_iou(max(values))
    title = f"{len(values)} prompt{'s' if len(values) > 1 else ''}, IoU {low if low == high else f'{low} to {high}'}"
    return Bar(
        round(LEFT + (place - 0.5) * step + 0.6, 1),
        round(base - height, 1),
        round(step - 1.2, 1),
        round(height, 1),
        failed,
        title,
    )


def _iou_x(iou: float) -> float:
    loss = 1.0 if not math.isfinite(iou) else min(max(1.0 - iou, SMALLEST_LOSS), 1.0)
    return round(LEFT + _plot_width() * math.log10(loss) / math.log10(SMALLEST_LOSS), 1)


def plot_snr(tensors: tuple[TensorScore, ...]) -> SnrPlot:
    """Return one row per picture, lowest ratio first, with a dot per encoder output."""
    series = tuple(dict.fromkeys(score.tensor for score in tensors))
    by_picture: dict[str, list[TensorScore]] = {}
    for score in tensors:
        by_picture.setdefault(score.picture, []).append(score)
    ordered = sorted(by_picture.items(), key=lambda item: (min(_drawable(score.snr_db) for score in item[1]), item[0]))
    shown = ordered[:SNR_ROWS]
    low, high, step = _snr_range([score.snr_db for _, scores in shown for score in scores])
    rows = tuple(_snr_row(index, picture, scores, series, (low, high)) for index, (picture, scores) in enumerate(shown))
    return SnrPlot(
        width=WIDTH,
        height=len(rows) * SNR_ROW_HEIGHT + 30,
        left=LEFT,
        ticks=tuple(Tick(_snr_x(value, (low, high)), f"{value:g}") for value in range(low, high + 1, step)),
        series=series,
        rows=rows,
        hidden=len(ordered) - len(shown),
    )


def _snr_row(
    index: int, picture: str, scores: list[TensorScore], series: tuple[str, ...], limits: tuple[int, int]
) -> SnrRow:
    dots = tuple(
        Dot(
            _snr_x(score.snr_db, limits),
            series.index(score.tensor),
            f"{picture}, {score.tensor}: {format_snr(score.snr_db)}",
        )
        for score in scores
    )
    return SnrRow(_shorten(picture), picture, (index + 0.5) * SNR_ROW_HEIGHT, dots)


def _snr_range(values: list[float]) -> tuple[int, int, int]:
    """Whole steps of 2, 5, 10 or more dB around the values, at most eight of them."""
    drawable = [_drawable(value) for value in values] or [0.0]
    span = max(drawable) - min(drawable)
    step = next(size for size in (2, 5, 10, 20, 50, 100) if span / size <= 6)
    low = math.floor(min(drawable) / step) * step
    return low, max(math.ceil(max(drawable) / step) * step, low + step), step


def _snr_x(value: float, limits: tuple[int, int]) -> float:
    low, high = limits
    share = (min(max(_drawable(value), low), high) - low) / (high - low)
    return round(LEFT + share * _plot_width(), 1)


def _drawable(snr_db: float) -> float:
    """Equal tensors have an infinite ratio; it is drawn at 200 dB, beyond what float32 can reach."""
    return -100.0 if math.isnan(snr_db) else min(max(snr_db, -100.0), 200.0)


def _plot_width() -> float:
    return WIDTH - LEFT - RIGHT


def _shorten(name: str) -> str:
    name = printable(name)
    return name if len(name) <= LABEL_LENGTH else name[: LABEL_LENGTH - 1] + "…"
