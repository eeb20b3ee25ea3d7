"""What `export` says of its bundles: the table, the notes, the rows for machines, the exit status."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from ..pipeline import REPORT_NAME, Outcome
from ..verification import Failed, Passed
from ..verify.summary_table import AccuracyRow, accuracy_table
from .printing import print_json, print_text


def exit_status(outcomes: Sequence[Outcome]) -> int:
    """Return 0 if every bundle was written, else the lowest status of an error: a failed gate before all others."""
    return min((outcome.error.exit_status for outcome in outcomes if outcome.error is not None), default=0)


def accuracy_rows(outcomes: Sequence[Outcome]) -> list[AccuracyRow]:
    return [
        AccuracyRow(
            target=outcome.job.target,
            precision=outcome.job.precision,
            verification=outcome.verification,
            bytes=outcome.bytes or None,
            export_seconds=outcome.export_seconds or None,
        )
        for outcome in outcomes
    ]


def print_outcomes(outcomes: Sequence[Outcome], console: Console) -> None:
    """Print one row for each bundle, then where those that passed lie."""
    console.print(accuracy_table(accuracy_rows(outcomes)))
    for note in shared_notes(outcomes):
        print_text(console, f"note: {note}")
    for outcome in outcomes:
        if outcome.bundle is not None and isinstance(outcome.verification, Passed):
            by = outcome.verification.measurement.evaluated_by
            line = f"{outcome.bundle}: evaluated by {by}; report: {outcome.bundle / REPORT_NAME}"
            print_text(console, line)


def shared_notes(outcomes: Sequence[Outcome]) -> list[str]:
    """Return what must be known of every measurement here: of the weights, and of the pictures that were taken."""
    verdicts = [one.verification for one in outcomes if isinstance(one.verification, Passed | Failed)]
    notes = [verdict.measurement.notes for verdict in verdicts]
    return [note for note in notes[0] if all(note in others for others in notes)] if notes else []


def print_outcomes_as_json(outcomes: Sequence[Outcome]) -> None:
    rows = [
        {
            "target": outcome.job.target,
            "precision": outcome.job.precision,
            "passed": isinstance(outcome.verification, Passed),
            "bundle": None if outcome.bundle is None else str(outcome.bundle),
            "bytes": outcome.bytes,
            "export_seconds": outcome.export_seconds,
            "verification": outcome.verification,
            "error": None if outcome.error is None else str(outcome.error),
        }
        for outcome in outcomes
    ]
    print_json(Console(), rows)
