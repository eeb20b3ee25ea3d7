"""A run as Markdown and as text: pure functions of the record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..verify.report_format import format_iou
from .claims import Claim, claim, opening_median, peak_bytes
from .run_record import Entry, Run

TITLE = "How fast bundles are, beside what a user would run instead"
NONE = "–"


def summary(run: Run) -> str:
    """Return a line for each that took part, for a terminal."""
    rows = [("", "encoder", "click", "worst IoU"), *(_summary_row(run, entry) for entry in run.entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [f"not measured: {one.name}: {one.reason}" for one in run.absent]
    return "\n".join([*lines, f"{_machine(run)}: {run.disturbance.sentence()}"])


def _summary_row(run: Run, entry: Entry) -> tuple[str, str, str, str]:
    worst = NONE if entry.scores is None else format_iou(entry.scores.worst_iou)
    return entry.name, short(claim(run, entry, "encoder")), short(claim(run, entry, "click")), worst


def short(one: Claim | None) -> str:
    """Return "210 ms, 0.42x"."""
    if one is None:
        return NONE
    return f"{format_ms(one.ms)} ms" + ("" if one.ratio is None else f", {one.ratio:.2f}x")


def markdown(run: Run) -> str:
    """Return the whole report."""
    return "\n".join(
        [
            f"# {TITLE}",
            "",
            *_facts(run),
            "",
            "## Speed",
            "",
            f"Milliseconds (median), the interval in brackets, and the ratio to `{run.baseline}` with its interval, "
            "round by round. A star: the middle half of the rounds is wider than a tenth of the median.",
            "",
            *_speed(run),
            "",
            "## Accuracy, memory, size",
            "",
            *_costs(run),
            "",
            *_rooflines(run),
            "## What was compared",
            "",
            *(f"- `{entry.name}`: {entry.what}; {entry.engine_text}" for entry in run.entries),
            *(f"- `{one.name}`: not measured: {one.reason}" for one in run.absent),
            "",
            "## What the sessions say that they use",
            "",
            *(_options(entry) for entry in run.entries),
            "",
        ]
    )


def _facts(run: Run) -> Iterator[str]:
    asked = run.request
    yield (
        f"`{run.model}` (weights {run.checkpoint_sha256[:12]}…), {_machine(run)}. {asked.threads} "
        f"thread{'s' if asked.threads > 1 else ''}, at most {asked.rounds} rounds, turn by turn, after {asked.warmups} "
        "of each that do not count. "
        f"{run.disturbance.sentence()[0].upper()}{run.disturbance.sentence()[1:]}"
    )
    yield ""
    yield (
        f"The picture is `{asked.picture}`, {asked.picture_hw[1]}x{asked.picture_hw[0]}; everything mode asks a grid "
        f"of {asked.points_per_side} x {asked.points_per_side} points, without limits. Each is a process of its own. "
        f"{'A quick run: fewer rounds, no torch.compile, no 64 prompts. ' if asked.quick else ''}{run.created}; "
        + ", ".join(f"{name} {version}" for name, version in run.tools.items())
        + "."
    )


def _machine(run: Run) -> str:
    one = run.machine
    return f"{one.processor}, {one.cores} cores, {one.memory_gb} GB, {one.system} {one.architecture}" + (
        f" ({', '.join(one.instructions)})" if one.instructions else ""
    )


def _speed(run: Run) -> Iterator[str]:
    stages = [stage for stage in run.stages if any(stage.name in entry.stages for entry in run.entries)]
    yield from table(
        ["", *(f"{stage.what}, {_rounds(run, stage.name)} rounds" for stage in stages)],
        [[f"`{entry.name}`", *(full(claim(run, entry, stage.name)) for stage in stages)] for entry in run.entries],
    )


def _rounds(run: Run, stage: str) -> int:
    return max((len(entry.stages[stage].seconds) for entry in run.entries if stage in entry.stages), default=0)


def full(one: Claim | None) -> str:
    """Return "210* (205 - 214), 0.42x (0.41 - 0.43)"."""
    if one is None:
        return NONE
    low, high = (format_ms(value) for value in one.ms_interval)
    text = f"{format_ms(one.ms)}{'' if one.steady else '*'} ({low} - {high})"
    if one.ratio is None or one.ratio_interval is None:
        return text
    return f"{text}, {one.ratio:.2f}x ({one.ratio_interval[0]:.2f} - {one.ratio_interval[1]:.2f})"


def _costs(run: Run) -> Iterator[str]:
    head = ["", "mean IoU", "worst", "harsh mean", "evaluated by", "to the first mask, s", "of it imports, opening"]
    yield from table(
        [*head, "peak memory, MB", "on disk, MB", "over the wire, MB"],
        [[f"`{entry.name}`", *_scores(entry), *_opening(entry), *_sizes(entry)] for entry in run.entries],
    )


def _scores(entry: Entry) -> tuple[str, ...]:
    if entry.scores is None:
        return NONE, NONE, NONE, entry.scores_note
    found = entry.scores
    harsh = NONE if found.harsh_mean_iou is None else format_iou(found.harsh_mean_iou)
    by = f"{found.evaluated_by}, {found.prompts} prompts, {found.origin}"
    return format_iou(found.mean_iou), format_iou(found.worst_iou), harsh, by


def _opening(entry: Entry) -> tuple[str, ...]:
    seconds, peak = opening_median(entry), peak_bytes(entry)
    if seconds is None or peak is None:
        return NONE, NONE, NONE
    typical = sorted(entry.openings, key=lambda one: one.to_first_mask)[len(entry.openings) // 2]
    return f"{seconds:.2f}", f"{typical.import_seconds:.2f}, {typical.open_seconds:.2f}", f"{peak / 1e6:.0f}"


def _sizes(entry: Entry) -> tuple[str, str]:
    if entry.size is None:
        return NONE, NONE
    wire = NONE if entry.size.wire_bytes is None else f"{entry.size.wire_bytes / 1e6:.1f}"
    return f"{entry.size.disk_bytes / 1e6:.1f}", wire


def _rooflines(run: Run) -> Iterator[str]:
    if not run.rooflines:
        return
    yield "## How close to the machine's own speed"
    yield ""
    for one in run.rooflines:
        reached = one.gflop / (one.milliseconds / 1e3)
        yield (
            f"`{one.name}`, {one.engine}: {one.gflop:.1f} GFLOP in {one.milliseconds:.0f} ms, {reached:.0f} GFLOP/s, "
            f"{reached / one.peak_gflops:.0%} of the {one.peak_gflops:.0f} that {one.peak_what} reaches."
        )
        yield ""
        yield from table(
            ["operation", "calls", "ms", "share of the time", "GFLOP", "GFLOP/s", "of the best product"],
            [
                [
                    kind.op,
                    str(kind.calls),
                    f"{kind.milliseconds:.1f}",
                    f"{kind.milliseconds / one.milliseconds:.0%}",
                    f"{kind.gflop:.2f}" if kind.gflop else NONE,
                    f"{kind.gflop / kind.milliseconds * 1e3:.0f}" if kind.gflop else NONE,
                    f"{kind.gflop / kind.milliseconds * 1e3 / one.peak_gflops:.0%}" if kind.gflop else NONE,
                ]
                for kind in one.kinds
            ],
        )
        yield ""


def _options(entry: Entry) -> str:
    said = []
    for component, report in entry.engines.items():
        options = ", ".join(f"{name}={value}" for name, value in report.options.items())
        threads = "threads not told" if report.threads is None else f"{report.threads} threads"
        said.append(
            f"{component}: {report.engine} {report.version} on {report.device}, {report.compute_precision}, {threads}"
            + (f", {options}" if options else "")
        )
    return f"- `{entry.name}`: {'; '.join(said)}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table; the first column is text, the others are numbers."""
    yield f"| {' | '.join(head)} |"
    yield f"|---|{'---:|' * (len(head) - 1)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def format_ms(value: float) -> str:
    """Return milliseconds with three digits that say something."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
