"""A run as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from .browser_record import grids
from .grid import Grid, table
from .roofline_tables import kinds_grid, layers_grid, peak_text, roofline_text
from .run_record import Run
from .sentences import conditions, machine_text, options_text
from .tables import ablation_grids, cost_grid, overview_grid, speed_grids, step_grid

TITLE = "How fast bundles are, beside what a user would run instead"


def markdown(run: Run) -> str:
    """Return the whole report; the same run gives the same text."""
    return "\n".join(_lines(run)) + "\n"


def _lines(run: Run) -> Iterator[str]:
    yield f"# {TITLE}"
    yield ""
    yield f"`{run.model}`, weights {run.checkpoint_sha256[:12]}…; {machine_text(run)}. {' '.join(conditions(run))}"
    yield ""
    yield f"{run.created}; {', '.join(f'{name} {version}' for name, version in run.tools.items())}."
    yield ""
    yield from _grid(overview_grid(run))
    yield from _grid(cost_grid(run))
    steps = step_grid(run)
    if steps is not None:
        yield from _grid(steps)
    for ablation in ablation_grids(run):
        yield from _grid(ablation)
    for browser in run.browsers:
        for grid in grids(browser):
            yield from _grid(grid)
    yield from _rooflines(run)
    yield "## Every speed with its interval"
    yield ""
    yield "A star: the middle half of the rounds is wider than a tenth of the median."
    yield ""
    for grid in speed_grids(run):
        yield from _grid(grid, level=3)
    yield "## What was compared"
    yield ""
    for entry in run.entries:
        yield f"- `{entry.name}`: {entry.what}. {'; '.join(options_text(entry))}"
    for one in run.absent:
        yield f"- `{one.name}`: not measured: {one.reason}"


def _grid(grid: Grid, level: int = 2) -> Iterator[str]:
    yield f"{'#' * level} {grid.caption}"
    yield ""
    yield from table(grid.head, grid.rows)
    yield ""


def _rooflines(run: Run) -> Iterator[str]:
    if not run.rooflines:
        return
    yield "## How close encoders come to the machine's best matrix product"
    yield ""
    yield f"Best products: {peak_text(run)}."
    yield ""
    for one in run.rooflines:
        yield f"`{one.name}`, {one.engine}: {roofline_text(run, one)}"
        yield ""
        yield from _grid(kinds_grid(run, one), level=3)
        yield from _grid(layers_grid(run, one), level=3)
