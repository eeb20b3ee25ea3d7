"""An encoder's operations beside the machine's best matrix product, as text and grids: pure functions of the record."""

from __future__ import annotations

from .grid import NONE, Grid, format_ms
from .run_record import LayerTime, Roofline, Run


def roofline_text(run: Run, one: Roofline) -> str:
    ideal = sum(1e3 * kind.gflop / peak.gflops for kind in one.kinds if (peak := run.peak(kind.dtype)))
    return (
        f"{one.gflop:.1f} GFLOP in {one.milliseconds:.0f} ms, {one.gflop / one.milliseconds * 1e3:.0f} GFLOP/s; at the "
        f"best products' speed it would be {ideal:.0f} ms, {ideal / one.milliseconds:.0%} of what it takes."
    )


def peak_text(run: Run) -> str:
    return "; ".join(f"{one.dtype}: {one.gflops:.0f} GFLOP/s, {one.what}" for one in run.peaks)


def kinds_grid(run: Run, one: Roofline) -> Grid:
    head = ("operation", "dtype", "calls", "ms", "of the time", "GFLOP", "GFLOP/s", "of the best product")
    return Grid(f"{one.name}: by kind of operation", head, tuple(_layer_row(run, one, kind) for kind in one.kinds))


def layers_grid(run: Run, one: Roofline) -> Grid:
    head = ("layer", "dtype", "calls", "ms", "of the time", "GFLOP", "GFLOP/s", "of the best product")
    return Grid(f"{one.name}: the longest layers", head, tuple(_layer_row(run, one, layer) for layer in one.layers))


def _layer_row(run: Run, roofline: Roofline, one: LayerTime) -> tuple[str, ...]:
    share = f"{one.milliseconds / roofline.milliseconds:.1%}"
    start = (f"{one.op} {one.name}".strip(), one.dtype, str(one.calls), format_ms(one.milliseconds), share)
    if not one.gflop:
        return *start, NONE, NONE, NONE
    peak = run.peak(one.dtype)
    reached = NONE if peak is None else f"{one.gflops / peak.gflops:.0%}"
    return *start, f"{one.gflop:.2f}", f"{one.gflops:.0f}", reached
