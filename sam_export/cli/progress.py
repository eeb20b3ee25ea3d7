"""How long work is shown: one bar for each stage, on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

Progress = Callable[[str, int, int], None]
BYTES_FROM = 100_000


@contextmanager
def stage_progress(console: Console) -> Iterator[Progress]:
    """Yield a callback that draws a bar for each stage; a stage that is done stays as one line.

    Nothing is drawn before the first call, so that a request that is refused is answered by its error alone.
    """
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[amount]}"))
    bars = Bars(*columns, TimeElapsedColumn(), console=console)
    tasks: dict[str, TaskID] = {}

    def show(stage: str, done: int, total: int) -> None:
        bars.start()
        if stage not in tasks:
            tasks[stage] = bars.add_task(stage, amount="")
        bars.update(tasks[stage], completed=done, total=total or None, amount=_amount(done, total))

    try:
        yield show
    finally:
        if tasks:
            bars.stop()


def _amount(done: int, total: int) -> str:
    """Pictures and graphs are counted; what goes into the millions is bytes. A total of 0 is not known."""
    if max(done, total) >= BYTES_FROM:
        return f"{done / 1e6:.1f} MB" if not total else f"{done / 1e6:.1f}/{total / 1e6:.1f} MB"
    return f"{done}/{total}" if total else ""
