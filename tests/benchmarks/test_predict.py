"""The reports of the benchmarks of single calls are functions of what was measured."""

from __future__ import annotations

from sam_export.benchmarks.embeddings import _row
from sam_export.benchmarks.predict import Report, _comparison, markdown, merged
from sam_export.runtimes.timing import Samples


def test_a_comparison_is_of_rounds_not_of_medians() -> None:
    """A slow spell hits both runs of a round, and leaves their ratio."""
    samples = {"ours": Samples((0.010, 0.100, 0.010)), "theirs": Samples((0.020, 0.200, 0.040))}
    found = _comparison("boxes", "ours", "theirs", samples)
    assert found.ratio == 0.5
    assert (found.ours.median, found.theirs.median) == (0.010, 0.040)
    report = Report("bundle", "engine", 2, (found,))
    twice = merged([report, report]).comparisons[0]
    assert twice.candidate_seconds == 2 * found.candidate_seconds
    assert twice.ratio == 0.5
    text = markdown(report)
    assert "| boxes | ours | theirs | 10.0 (10.0 - 55.0) | 40.0 (30.0 - 120.0) | 0.500 | 3 |" in text


def test_the_worst_case_is_named() -> None:
    row = _row("int8", 1_000_000, [(1.0, "coffee"), (0.9, "coins"), (0.95, "coins")])
    assert (row.prompts, row.pictures, row.worst_iou, row.worst_picture) == (3, 2, 0.9, "coins")
    assert abs(row.mean_iou - 0.95) < 1e-12
