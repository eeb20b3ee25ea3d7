"""The table of a candidate's accuracy: a row a measure, a cell a group of prompts, and whether a limit holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ..verification import Limits, Measurement, Summary
from .report_format import format_error, format_iou, format_share, format_snr


@dataclass(frozen=True)
class Cell:
    """`holds` is None where no limit applies."""

    text: str
    holds: bool | None = None


@dataclass(frozen=True)
class Row:
    label: str
    limit: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Bound:
    """What one group's value of a measure must keep to."""

    group: str
    sign: Literal["≥", "≤"]
    limit: float

    def holds(self, value: float) -> bool:
        return value >= self.limit if self.sign == "≥" else value <= self.limit


@dataclass(frozen=True)
class Measure:
    """One row of the table to be: its value for a group's summary, and how that is written."""

    label: str
    value: Callable[[Summary], float]
    text: Callable[[float], str]
    bound: Bound | None = None


def groups_of(found: Measurement) -> tuple[tuple[str, Summary], ...]:
    named = (("Gated", found.stable), ("Harsh", found.harsh), ("Logits", found.parity))
    return tuple((title, summary) for title, summary in named if summary is not None)


def measure_rows(found: Measurement, limits: Limits) -> tuple[Row, ...]:
    groups = groups_of(found)
    return tuple(_row(measure, groups) for measure in _measures(limits, "Gated" if found.weights_trained else "Logits"))


def _measures(limits: Limits, group_of_error: str) -> tuple[Measure, ...]:
    return (
        Measure("Mean mask IoU", lambda one: one.mean_iou, format_iou, Bound("Gated", "≥", limits.mean_iou)),
        Measure("5th percentile of mask IoU", lambda one: one.p5_iou, format_iou),
        Measure("Worst mask IoU", lambda one: one.worst_iou, format_iou, Bound("Gated", "≥", limits.worst_iou)),
        Measure("Mean boundary IoU", lambda one: one.mean_boundary_iou, format_iou),
        Measure("Same mask chosen", lambda one: one.index_agreement, format_share),
        Measure(
            "Largest error of predicted IoU",
            lambda one: one.max_iou_prediction_error,
            format_error,
            Bound(group_of_error, "≤", limits.iou_prediction_error),
        ),
        Measure(
            "Least SNR of mask logits",
            lambda one: one.min_logit_snr_db,
            format_snr,
            Bound("Logits", "≥", limits.logit_snr_db),
        ),
    )


def _row(measure: Measure, groups: tuple[tuple[str, Summary], ...]) -> Row:
    bound, cells, limit = measure.bound, [], ""
    for title, summary in groups:
        value, holds = measure.value(summary), None
        if bound is not None and bound.group == title:
            holds, limit = bound.holds(value), f"{bound.sign} {bound.limit:g}"
        cells.append(Cell(measure.text(value), holds))
    return Row(measure.label, limit, tuple(cells))
