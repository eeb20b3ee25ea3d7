"""One line per bundle, for terminals and Markdown: how good, how large, how long it took, and what measured it."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..verification import Failed, NotRunnable, Passed, Verification
from .report_format import format_iou, format_snr, printable

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


def accuracy_table(rows: Iterable[AccuracyRow]) -> Table:
    """Return the table for a rich console, without the evaluators' long names, so that it fits 80 columns."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name, is_number in COLUMNS[:TERMINAL_COLUMNS]:
        # Numbers never wrap: half a number is another number.
        table.add_column(name, justify="right" if is_number else "left", no_wrap=True)
    for row in rows:
        table.add_row(
            *(Text(cell) for cell in _cells(row)[:TERMINAL_COLUMNS]), style="bold red" if _failed(row) else None
        )
    return table


def render_accuracy_table(rows: Iterable[AccuracyRow], *, width: int = 80) -> str:
    """Return the table as plain text, `width` characters wide at most."""
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None, legacy_windows=False).print(accuracy_table(rows))
    return stream.getvalue()


def render_accuracy_markdown(rows: Iterable[AccuracyRow]) -> str:
    """Return the table as Markdown, numbers aligned to the right."""
    lines = [[name for name, _ in COLUMNS], ["---:" if is_number else "---" for _, is_number in COLUMNS]]
    lines += [[_markdown_cell(cell) for cell in _cells(row)] for row in rows]
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


def _harsh_cell(row: AccuracyRow) -> str:
    if not isinstance(row.verification, Passed | Failed) or row.verification.measurement.harsh is None:
        return NOT_MEASURED
    harsh = row.verification.measurement.harsh
    return f"{format_iou(harsh.mean_iou)} / {format_iou(harsh.worst_iou)}"


def _failed(row: AccuracyRow) -> bool:
    return isinstance(row.verification, Failed)


def _markdown_cell(cell: str) -> str:
    return cell.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
