"""The report's part on a search: what was tried, what was chosen and why, and which layers are not like the rest."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..contract import LayerChoice
from ..search_record import AblationRow, SearchPoint, SearchRecord, TryLimits
from .report_format import format_bytes, format_iou, format_snr
from .report_search_plots import FrontierPlot, HarmPlot, format_ratio, plot_harm, plot_latency, plot_size

BEST = {"speed": "fastest", "size": "smallest", "accuracy": "most accurate"}
NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


@dataclass(frozen=True)
class LayerRow:
    """The same layer of several blocks, alike in precision and reason; `layers` is a name with the numbers in it."""

    layers: str
    count: int
    precision: str
    reason: str


@dataclass(frozen=True)
class MeasuredRow:
    """`mean_holds` and `worst_holds` are None where no limit applies."""

    label: str
    stable_mean: str
    stable_worst: str
    harsh_mean: str
    harsh_p5: str
    latency: str
    bytes: str
    snr: str = ""
    mean_holds: bool | None = None
    worst_holds: bool | None = None
    chosen: bool = False
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class SearchView:
    """One component's search as the template prints it. `lead`: sentences above the plots."""

    component: str
    lead: tuple[str, ...]
    limit_mean: str
    limit_worst: str
    latency_plot: FrontierPlot | None
    size_plot: FrontierPlot | None
    harm_plot: HarmPlot | None
    points: tuple[MeasuredRow, ...]
    layers: tuple[LayerRow, ...]
    ablation: tuple[MeasuredRow, ...]
    timed: bool
    has_snr: bool


def view_search(record: SearchRecord, choices: tuple[LayerChoice, ...]) -> SearchView:
    """Return everything that the template prints about one search; `choices`: the component's exceptions."""
    return SearchView(
        component=record.component,
        lead=tuple(_lead(record)),
        limit_mean=format_iou(record.limits.mean_iou),
        limit_worst=format_iou(record.limits.worst_iou),
        latency_plot=plot_latency(record),
        size_plot=plot_size(record),
        harm_plot=plot_harm(record),
        points=tuple(_point_row(point, record.limits) for point in _by_cost(record.points)),
        layers=group_layers(choices),
        ablation=tuple(_ablation_row(row) for row in record.ablation),
        timed=_timed(record.points) or _timed(record.ablation),
        has_snr=any(row.embeddings_snr_db is not None for row in record.ablation),
    )


def _timed(measured: Iterable[SearchPoint | AblationRow]) -> bool:
    return any(one.latency_ratio is not None for one in measured)


def _by_cost(points: Iterable[SearchPoint]) -> list[SearchPoint]:
    return sorted(points, key=lambda one: (one.latency_ratio or 0.0, one.bytes, one.stable_worst))


def _lead(record: SearchRecord) -> Iterable[str]:
    if not record.points:
        return
    passed = sum(point.passed for point in record.points)
    threads = f" with {_many(record.threads, 'thread')}" if record.threads else ""
    yield (
        f"{_many(len(record.points), 'point')} {'were' if len(record.points) > 1 else 'was'} tried on "
        f"{record.engine}{threads}, on pictures kept apart from those that the gate measures; {passed} passed."
    )
    yield _choice(record)
    limits = record.limits
    yield (
        f"To pass, a point had to reach a mean mask IoU of {format_iou(limits.mean_iou)} on stable prompts and "
        f"{format_iou(limits.worst_iou)} on the worst of them."
    )
    if limits.margin:
        closer = f"{limits.margin * 100:.0f} % closer to 1"
        yield f"That is {closer} than the gate asks, since the gate measures other pictures."


def _choice(record: SearchRecord) -> str:
    chosen = record.chosen
    if chosen is None:
        return "None of them was taken for this bundle."
    timed = "" if chosen.latency_ratio is None else f"{format_ratio(chosen.latency_ratio)} the float graph’s time, "
    return (
        f"Taken was the {BEST[record.preferred]} that passed, “{chosen.label}”: {timed}{format_bytes(chosen.bytes)}, "
        f"worst mask IoU {format_iou(chosen.stable_worst)}."
    )


def _point_row(point: SearchPoint, limits: TryLimits) -> MeasuredRow:
    return replace(
        _measured(point),
        mean_holds=point.stable_mean >= limits.mean_iou,
        worst_holds=point.stable_worst >= limits.worst_iou,
        chosen=point.chosen,
        left_out=point.without,
    )


def _ablation_row(row: AblationRow) -> MeasuredRow:
    snr = row.embeddings_snr_db
    return replace(_measured(row), snr="" if snr is None else format_snr(snr))


def _measured(one: SearchPoint | AblationRow) -> MeasuredRow:
    return MeasuredRow(
        label=one.label,
        stable_mean=format_iou(one.stable_mean),
        stable_worst=format_iou(one.stable_worst),
        harsh_mean=format_iou(one.harsh_mean),
        harsh_p5=format_iou(one.harsh_p5),
        latency=format_ratio(one.latency_ratio),
        bytes=format_bytes(one.bytes),
    )


def group_layers(choices: Iterable[LayerChoice]) -> tuple[LayerRow, ...]:
    """Return the layers, those together that differ in their last number only and are alike in all else.

    `stage.2.blocks.0.fc1`, `stage.2.blocks.1.fc1`, `stage.2.blocks.3.fc1` -> `stage.2.blocks.{0..1,3}.fc1`
    """
    rows: dict[tuple[str, str, str, str], list[str]] = {}
    for choice in choices:
        before, number, after = _split(choice.pattern)
        rows.setdefault((before, after, choice.precision, choice.reason), []).append(number)
    return tuple(
        LayerRow(_joined(before, numbers, after), len(numbers), precision, reason)
        for (before, after, precision, reason), numbers in rows.items()
    )


def _split(name: str) -> tuple[str, str, str]:
    """Return what is before the last number that stands between dots, the number, and what follows it."""
    places = list(NUMBER.finditer(name))
    if not places:
        return name, "", ""
    return name[: places[-1].start()], places[-1].group(), name[places[-1].end() :]


def _joined(before: str, numbers: list[str], after: str) -> str:
    if len(numbers) == 1:
        return before + numbers[0] + after
    runs: list[list[int]] = []
    for number in sorted({int(text) for text in numbers}):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    spans = (str(low) if low == high else f"{low}..{high}" for low, high in runs)
    return f"{before}{{{','.join(spans)}}}{after}"


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
