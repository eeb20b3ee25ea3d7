"""Several runs side by side: of one machine with one number of threads, or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from ..errors import RequestError
from .claims import claim
from .grid import table
from .run_record import Run
from .tables import full

Named = tuple[Path, Run]
# How far apart the baseline of two runs may be before their milliseconds are no longer told side by side.
DRIFT = 0.05


def compared(runs: Sequence[Named]) -> str:
    """Return the runs as Markdown: a row for each that took part, a column for each run.

    Raises:
        RequestError: fewer than two runs, or runs that cannot be compared; the text says what differs.
    """
    if len(runs) < 2:
        raise RequestError(f"--compare: {len(runs)} run given; give two or more, from `sam-export bench -o DIR`")
    first = runs[0]
    for other in runs[1:]:
        _require_comparable(first, other)
    return "\n".join(_lines(runs))


def _require_comparable(first: Named, other: Named) -> None:
    for what, ours, theirs in _conditions(first[1], other[1]):
        if ours != theirs:
            raise RequestError(
                f"{other[0]}: {what} {theirs}, {first[0]} has {ours}; times of different machines or conditions are "
                "not compared: measure both on one machine with the same options"
            )


def _conditions(first: Run, other: Run) -> Iterator[tuple[str, object, object]]:
    yield "model", first.model, other.model
    yield "checkpoint", first.checkpoint_sha256, other.checkpoint_sha256
    for field in fields(first.machine):
        yield f"machine's {field.name}", getattr(first.machine, field.name), getattr(other.machine, field.name)
    for name in ("threads", "picture", "picture_hw", "points_per_side"):
        yield name, getattr(first.request, name), getattr(other.request, name)


def _lines(runs: Sequence[Named]) -> Iterator[str]:
    yield f"`{runs[0][1].model}`, {runs[0][1].request.threads} threads, {runs[0][1].machine.processor}"
    yield ""
    for path, run in runs:
        yield f"- {path}: {run.created}; {', '.join(f'{k} {v}' for k, v in run.tools.items())}; "
        yield f"  {run.disturbance.sentence()}"
    yield from _drift(runs)
    for stage in runs[0][1].stages:
        yield ""
        yield f"{stage.what}:"
        yield ""
        names = dict.fromkeys(entry.name for _, run in runs for entry in run.entries)
        yield from table(
            ["", *(str(path) for path, _ in runs)],
            [[name, *(_cell(run, name, stage.name) for _, run in runs)] for name in names],
        )


def _cell(run: Run, name: str, stage: str) -> str:
    entry = run.entry(name)
    return "–" if entry is None else full(claim(run, entry, stage))


def _drift(runs: Sequence[Named]) -> Iterator[str]:
    """Say it where the machine was not equally fast: the baseline is the same graph in all runs."""
    medians = []
    for _, run in runs:
        baseline = run.entry(run.baseline)
        if baseline is not None and "encoder" in baseline.stages:
            medians.append(baseline.stages["encoder"].median)
    if len(medians) == len(runs) and max(medians) > (1 + DRIFT) * min(medians):
        yield ""
        yield (
            f"The baseline's encoder took {1e3 * min(medians):.0f} to {1e3 * max(medians):.0f} ms: the machine was not "
            "equally fast, so compare the ratios and not the milliseconds."
        )
