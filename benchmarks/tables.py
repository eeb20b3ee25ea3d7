"""The numbers of a run as grids of text, for Markdown, the page and a terminal alike: pure functions of the record."""

from __future__ import annotations

from ..verify.report_format import format_iou
from .claims import Claim, claim, opening_median, peak_bytes
from .grid import NONE, Grid, format_ms
from .run_record import Entry, Run
from .sentences import machine_text
from .waterfall import STEPS, chains


def summary(run: Run) -> str:
    """Return a line for each that took part, for a terminal."""
    rows = [("", "encoder", "click", "worst IoU"), *(_summary_row(run, entry) for entry in run.entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [f"not measured: {one.name}: {one.reason}" for one in run.absent]
    return "\n".join([*lines, f"{machine_text(run)}: {run.disturbance.sentence()}"])


def _summary_row(run: Run, entry: Entry) -> tuple[str, str, str, str]:
    worst = NONE if entry.scores is None else format_iou(entry.scores.worst_iou)
    return entry.name, short(claim(run, entry, "encoder")), short(claim(run, entry, "click")), worst


def short(one: Claim | None) -> str:
    """Return "210 ms, 0.42x"."""
    if one is None:
        return NONE
    return f"{format_ms(one.ms)} ms" + ("" if one.ratio is None else f", {one.ratio:.2f}x")


def full(one: Claim | None) -> str:
    """Return "210* (205 - 214), 0.42x (0.41 - 0.43)"."""
    if one is None:
        return NONE
    low, high = (format_ms(value) for value in one.ms_interval)
    text = f"{format_ms(one.ms)}{'' if one.steady else '*'} ({low} - {high})"
    if one.ratio is None or one.ratio_interval is None:
        return text
    return f"{text}, {one.ratio:.2f}x ({one.ratio_interval[0]:.2f} - {one.ratio_interval[1]:.2f})"


def speed_grids(run: Run) -> tuple[Grid, ...]:
    """Return a grid for each stage that was timed."""
    stages = [stage for stage in run.stages if any(stage.name in entry.stages for entry in run.entries)]
    return tuple(
        Grid(
            f"{stage.what[0].upper()}{stage.what[1:]}, {_rounds(run, stage.name)} rounds",
            ("", "ms", "interval", f"by {run.baseline}", "interval"),
            tuple((entry.name, *_speed_cells(claim(run, entry, stage.name))) for entry in run.entries),
        )
        for stage in stages
    )


def _rounds(run: Run, stage: str) -> int:
    return max((len(entry.stages[stage].seconds) for entry in run.entries if stage in entry.stages), default=0)


def _speed_cells(one: Claim | None) -> tuple[str, str, str, str]:
    if one is None:
        return NONE, NONE, NONE, NONE
    low, high = (format_ms(value) for value in one.ms_interval)
    own = f"{format_ms(one.ms)}{'' if one.steady else '*'}", f"{low} - {high}"
    if one.ratio is None or one.ratio_interval is None:
        return *own, "1", ""
    return *own, f"{one.ratio:.2f}x", f"{one.ratio_interval[0]:.2f} - {one.ratio_interval[1]:.2f}"


def overview_grid(run: Run) -> Grid:
    """Return one row for each: every speed by the baseline's, with the accuracy beside it."""
    stages = [stage for stage in run.stages if any(stage.name in entry.stages for entry in run.entries)]
    head = ("", *(SHORT[stage.name] for stage in stages), "mean IoU", "worst IoU")
    return Grid(
        f"Median milliseconds and ratio to {run.baseline}",
        head,
        tuple(
            (
                entry.name,
                *(short(claim(run, entry, stage.name)) for stage in stages),
                _scores(entry)[0],
                _scores(entry)[2],
            )
            for entry in run.entries
        ),
    )


SHORT = {
    "encoder": "encoder",
    "decoder_1": "1 prompt",
    "decoder_8": "8 prompts",
    "decoder_64": "64 prompts",
    "click": "click",
    "new_picture": "new picture and click",
    "everything": "everything",
}


def cost_grid(run: Run) -> Grid:
    scores, sizes = ("mean IoU", "p5", "worst", "harsh mean"), ("on disk, MB", "over the wire, MB")
    opening = (
        "opening to the first mask, s",
        "of it opening; the start before it",
        "peak memory until then, in all, MB",
    )
    return Grid(
        "Accuracy, and what opening takes",
        ("", *scores, *opening, *sizes, "accuracy by"),
        tuple((entry.name, *_scores(entry), *_opening(entry), *_sizes(entry), _origin(entry)) for entry in run.entries),
    )


def _scores(entry: Entry) -> tuple[str, ...]:
    if entry.scores is None:
        return NONE, NONE, NONE, NONE
    found = entry.scores
    harsh = NONE if found.harsh_mean_iou is None else format_iou(found.harsh_mean_iou)
    return format_iou(found.mean_iou), format_iou(found.p5_iou), format_iou(found.worst_iou), harsh


def _origin(entry: Entry) -> str:
    """Return whose numbers the scores are, and what ran the graphs."""
    found = entry.scores
    if found is None:
        return entry.scores_note
    return f"{found.origin}: {found.evaluated_by.split('-')[0].rstrip('(')}, {found.prompts} prompts"


def _opening(entry: Entry) -> tuple[str, ...]:
    seconds, peak = opening_median(entry), peak_bytes(entry)
    if seconds is None or peak is None:
        return NONE, NONE, NONE
    typical = sorted(entry.openings, key=lambda one: one.to_first_mask)[len(entry.openings) // 2]
    most = f"{entry.peak_bytes / 1e6:.0f}" if entry.peak_bytes else NONE
    return f"{seconds:.2f}", f"{typical.open_seconds:.2f}; {typical.start_seconds:.2f}", f"{peak / 1e6:.0f}, {most}"


def _sizes(entry: Entry) -> tuple[str, str]:
    if entry.size is None:
        return NONE, NONE
    wire = NONE if entry.size.wire_bytes is None else f"{entry.size.wire_bytes / 1e6:.1f}"
    return f"{entry.size.disk_bytes / 1e6:.1f}", wire


def step_grid(run: Run) -> Grid | None:
    """Return what each step brought, for the stages where steps are told; None where there is no chain."""
    known = {stage: _ratios(run, stage) for stage in STEPS}
    rows = tuple(
        (
            f"{chain.engine}: {step.label}",
            step.entry,
            *(known[stage].get((chain.engine, step.entry), NONE) for stage in STEPS),
            NONE if step.gain is None else f"{step.gain:.2f}",
        )
        for chain in chains(run, STEPS[0])
        for step in chain.steps
    )
    head = ("step", "measured on", *(SHORT[stage] for stage in STEPS), "encoder, times as fast as the step before")
    return Grid(f"What each step brought, by {run.baseline}", head, rows) if rows else None


def _ratios(run: Run, stage: str) -> dict[tuple[str, str], str]:
    return {(chain.engine, step.entry): f"{step.ratio:.2f}x" for chain in chains(run, stage) for step in chain.steps}


def ablation_grids(run: Run) -> tuple[Grid, ...]:
    """Return what each technique of a bundle's quantization is worth, as its search measured it, not this run."""
    return tuple(
        Grid(
            f"What each technique of {name} is worth ({record.component}, by {record.engine}; not of this run)",
            ("", "mean IoU", "worst", "harsh mean", "MB", "time by the float graph's"),
            tuple(
                (
                    row.label,
                    format_iou(row.stable_mean),
                    format_iou(row.stable_worst),
                    format_iou(row.harsh_mean),
                    f"{row.bytes / 1e6:.1f}",
                    NONE if row.latency_ratio is None else f"{row.latency_ratio:.2f}x",
                )
                for row in record.ablation
            ),
        )
        for name, records in run.searches.items()
        for record in records
        if record.ablation
    )
