"""One line per bundle, for terminals and Markdown: how good, how large, how long it took, and what measured it.

Where there was ground truth, a second table says how near reference and candidate come to it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from ..verification import Failed, NotRunnable, Passed, Verification
from .report_format import format_iou, format_points, format_snr, printable

# The last two are for Markdown alone: a terminal has 80 columns.
TERMINAL_COLUMNS = -2
COLUMNS = (
    ("target", False),
    ("precision", False),
    ("gate", False),
    ("mean IoU", True),
    ("p5", True),
    ("worst", True),
    ("SNR", True),
    ("MB", True),
    ("export s", True),
    ("harsh mean / worst", True),
    ("evaluated by", False),
)
TRUTH_COLUMNS = (
    ("target", False),
    ("precision", False),
    ("truth", False),
    ("objects", True),
    ("PyTorch mIoU", True),
    ("exported", True),
    ("loss", True),
    ("worst", True),
)
NOT_MEASURED = "–"


@dataclass(frozen=True)
class AccuracyRow:
    """What one bundle scored. `bytes` of its graphs; `export_seconds` is None for a bundle that was only read.

    `verification` is None where the work ended before there was a verdict.
    """

    target: str
    precision: str
    verification: Verification | None
    bytes: int | None = None
    export_seconds: float | None = None


def accuracy_table(rows: Sequence[AccuracyRow]) -> Group:
    """Return the tables for a rich console, without the evaluators' long names, so that they fit 80 columns."""
    table = _empty_table(COLUMNS[:TERMINAL_COLUMNS])
    for row in rows:
        table.add_row(
            *(Text(cell) for cell in _cells(row)[:TERMINAL_COLUMNS]), style="bold red" if _failed(row) else None
        )
    against_truth = _empty_table(TRUTH_COLUMNS)
    for cells in _truth_cells(rows):
        against_truth.add_row(*map(Text, cells))
    return Group(table, against_truth) if against_truth.row_count else Group(table)


def _empty_table(columns: Sequence[tuple[str, bool]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name, is_number in columns:
        # Numbers never wrap: half a number is another number.
        table.add_column(name, justify="right" if is_number else "left", no_wrap=True)
    return table


def render_accuracy_table(rows: Sequence[AccuracyRow], *, width: int = 80) -> str:
    """Return the tables as plain text, `width` characters wide at most."""
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None, legacy_windows=False).print(accuracy_table(rows))
    return stream.getvalue()


def render_accuracy_markdown(rows: Sequence[AccuracyRow]) -> str:
    """Return the tables as Markdown, numbers aligned to the right."""
    table = _markdown(COLUMNS, map(_cells, rows))
    against_truth = _truth_cells(rows)
    return f"{table}\n{_markdown(TRUTH_COLUMNS, against_truth)}" if against_truth else table


def _markdown(columns: Sequence[tuple[str, bool]], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [[name for name, _ in columns], ["---:" if is_number else "---" for _, is_number in columns]]
    lines += [[_markdown_cell(cell) for cell in cells] for cells in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cells(row: AccuracyRow) -> tuple[str, ...]:
    size = NOT_MEASURED if row.bytes is None else f"{row.bytes / 1e6:.1f}"
    seconds = NOT_MEASURED if row.export_seconds is None else f"{row.export_seconds:.1f}"
    verdict, ious, snr, evaluated_by = _verdict_cells(row.verification)
    cells = (row.target, row.precision, verdict, *ious, snr, size, seconds, _harsh_cell(row), evaluated_by)
    return tuple(printable(cell) for cell in cells)


def _verdict_cells(verification: Verification | None) -> tuple[str, tuple[str, ...], str, str]:
    """Verdict, the three IoUs, SNR, evaluator. Untrained weights have no IoU that means anything."""
    nothing: tuple[str, ...] = (NOT_MEASURED, NOT_MEASURED, NOT_MEASURED)
    match verification:
        case Passed(measurement=found) | Failed(measurement=found):
            stable = found.stable
            ious = (
                nothing
                if stable is None
                else tuple(map(format_iou, (stable.mean_iou, stable.p5_iou, stable.worst_iou)))
            )
            snr = format_snr(min(score.snr_db for score in found.tensors)) if found.tensors else NOT_MEASURED
            return ("passed" if isinstance(verification, Passed) else "FAILED"), ious, snr, found.evaluated_by
        case NotRunnable(reason=reason):
            return "not run", nothing, NOT_MEASURED, reason
        case None:
            return "not run", nothing, NOT_MEASURED, NOT_MEASURED


def _truth_cells(rows: Sequence[AccuracyRow]) -> list[tuple[str, ...]]:
    """One line for each row and kind of prompt; losses are in points."""
    return [
        tuple(
            printable(cell)
            for cell in (
                row.target,
                row.precision,
                found.kind.removeprefix("truth "),
                str(found.count),
                format_iou(found.reference_miou),
                format_iou(found.candidate_miou),
                format_points(found.loss_points),
                format_points(found.worst_loss_points),
            )
        )
        for row in rows
        if isinstance(row.verification, Passed | Failed)
        for found in row.verification.measurement.truth
    ]


def _harsh_cell(row: AccuracyRow) -> str:
    if not isinstance(row.verification, Passed | Failed) or row.verification.measurement.harsh is None:
        return NOT_MEASURED
    harsh = row.verification.measurement.harsh
    return f"{format_iou(harsh.mean_iou)} / {format_iou(harsh.worst_iou)}"


def _failed(row: AccuracyRow) -> bool:
    return isinstance(row.verification, Failed)


def _markdown_cell(cell: str) -> str:
    return cell.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
