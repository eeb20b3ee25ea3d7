"""What a web bundle cost in Chromium, as data; reports and Markdown are made of it alone."""

from __future__ import annotations

from dataclasses import dataclass

from ..runtimes.timing import Samples
from ..verify.report_format import format_iou
from .grid import NONE, Grid


@dataclass(frozen=True)
class BrowserTiming:
    """One thing that was timed: all samples in ms, in order, and the median ratio to the plain export's, by rounds."""

    name: str
    threads: int
    what: str
    milliseconds: tuple[float, ...]
    ratio: float


@dataclass(frozen=True)
class BrowserGraphs:
    """Graphs that were timed: bytes as they are, and in brotli where known; IoU of masks where a gate measured it."""

    name: str
    disk_bytes: int
    wire_bytes: int | None = None
    mean_iou: float | None = None
    worst_iou: float | None = None


@dataclass(frozen=True)
class BrowserRun:
    """All that one bundle was measured for. `bundle`: its folder's name; `rounds`: of every call, turn by turn."""

    bundle: str
    model: str
    browser: str
    engine: str
    processor: str
    rounds: int
    graphs: tuple[BrowserGraphs, ...]
    timings: tuple[BrowserTiming, ...]

    def sentence(self) -> str:
        """Say what was run, on what, and how to read the numbers."""
        return (
            f"{self.bundle} in {self.browser}, {self.engine} (WebAssembly), {self.processor}; {self.rounds} rounds, "
            "turn by turn; medians, quartiles, and the median ratio to the plain export, by rounds"
        )


def grids(run: BrowserRun) -> tuple[Grid, Grid]:
    """Return how fast it was, and what it weighs."""
    return _speed_grid(run), _graphs_grid(run)


def _speed_grid(run: BrowserRun) -> Grid:
    rows = tuple((one.name, str(one.threads), one.what, *_cells(one)) for one in run.timings)
    return Grid(run.sentence(), ("graphs", "threads", "what", "ms", "quartiles", "by the plain export"), rows)


def _cells(one: BrowserTiming) -> tuple[str, ...]:
    samples = Samples(one.milliseconds)
    first, third = samples.quartiles
    return f"{samples.median:.0f}", f"{first:.0f} - {third:.0f}", f"{one.ratio:.2f}x"


def _graphs_grid(run: BrowserRun) -> Grid:
    rows = tuple(
        (one.name, f"{one.disk_bytes / 1e6:.1f}", _megabytes(one.wire_bytes), _iou(one.mean_iou), _iou(one.worst_iou))
        for one in run.graphs
    )
    return Grid(f"{run.bundle}: size and accuracy", ("graphs", "MB", "MB in brotli", "mean IoU", "worst IoU"), rows)


def _megabytes(size: int | None) -> str:
    return NONE if size is None else f"{size / 1e6:.1f}"


def _iou(value: float | None) -> str:
    return NONE if value is None else format_iou(value)
