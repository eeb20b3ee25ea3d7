"""A run as one page: no scripts, nothing fetched from anywhere, in the style of the accuracy report."""

from __future__ import annotations

from dataclasses import dataclass

from ..verify.report_environment import page_environment
from ..verify.report_format import format_iou
from .browser_record import grids
from .claims import claim
from .grid import Grid, format_ms
from .page_plots import BarPlot, plot_roofline, plot_size, plot_speed, plot_steps
from .roofline_tables import kinds_grid, layers_grid, peak_text, roofline_text
from .run_record import Entry, Roofline, Run
from .sentences import conditions, machine_text, options_text
from .tables import ablation_grids, cost_grid, overview_grid, speed_grids, step_grid
from .waterfall import STEPS, chains

PLOTTED_LAYERS = 16


@dataclass(frozen=True)
class Figure:
    """One of the numbers at the top of the page."""

    label: str
    value: str
    note: str


@dataclass(frozen=True)
class RooflineView:
    name: str
    engine: str
    text: str
    plots: tuple[BarPlot, ...]
    grids: tuple[Grid, ...]


def render_page(run: Run) -> str:
    """Return the page as HTML text; the same run gives the same text. Write it as UTF-8."""
    return (
        page_environment(__package__ or "")
        .get_template("bench.html")
        .render(
            run=run,
            machine=machine_text(run),
            conditions=conditions(run),
            figures=_figures(run),
            plots=[one for one in (plot_speed(run), plot_size(run)) if one is not None],
            steps=[(stage, plot) for stage in STEPS if (plot := plot_steps(chains(run, stage))) is not None],
            stage_what={stage.name: stage.what for stage in run.stages},
            overview=overview_grid(run),
            costs=cost_grid(run),
            step_grid=step_grid(run),
            speeds=speed_grids(run),
            ablations=ablation_grids(run),
            browsers=[grids(one) for one in run.browsers],
            peaks=peak_text(run),
            rooflines=[_view(run, one) for one in run.rooflines],
            options={entry.name: options_text(entry) for entry in run.entries},
        )
    )


def _figures(run: Run) -> tuple[Figure, ...]:
    """Return the best of the bundles that passed, stage by stage."""
    bundles = [
        entry for entry in run.entries if entry.kind == "bundle" and (entry.scores is None or entry.scores.passed)
    ]
    named = (("encoder", "Fastest image encoder"), ("decoder_1", "Fastest decoder"), ("click", "Fastest click"))
    found = [_figure(run, bundles, stage, label) for stage, label in named]
    return tuple(one for one in found if one is not None)


def _figure(run: Run, bundles: list[Entry], stage: str, label: str) -> Figure | None:
    timed = [(one.ms, one, entry) for entry in bundles if (one := claim(run, entry, stage)) is not None]
    if not timed:
        return None
    _, best, entry = min(timed, key=lambda item: item[0])
    iou = "" if entry.scores is None else f", worst IoU {format_iou(entry.scores.worst_iou)}"
    value = f"{format_ms(best.ms)} ms" if best.ratio is None else f"{best.ratio:.2f}x"
    return Figure(label, value, f"{format_ms(best.ms)} ms: {entry.name}{iou}")


def _view(run: Run, one: Roofline) -> RooflineView:
    plots = (
        plot_roofline(run, one, "By kind of operation", one.kinds),
        plot_roofline(run, one, "The longest layers, one by one", one.layers[:PLOTTED_LAYERS]),
    )
    grids = (kinds_grid(run, one), layers_grid(run, one))
    return RooflineView(one.name, one.engine, roofline_text(run, one), plots, grids)
