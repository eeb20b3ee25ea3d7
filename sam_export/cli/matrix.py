"""The table of `sam-export models --matrix`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..support import Support
from .printing import print_text


def print_matrix(rows: Sequence[Support], console: Console) -> None:
    """Print family x target x precision, and below it how each family was verified."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("family", "target", "floats", "full size", "fewer bits", "masks known of"):
        table.add_column(name, overflow="fold")
    for row in rows:
        for place, target in enumerate(row.floats):
            known = [name.partition("-")[2] for name in row.measured if name.startswith(f"{target}-")]
            cells = (
                row.family if place == 0 else "",
                target,
                ", ".join(row.floats[target]),
                f"{len(row.full_size[target])} of {len(row.models)}",
                ", ".join(row.fewer_bits[target]),
                ", ".join(known),
            )
            table.add_row(*map(Text, cells), end_section=place == len(row.floats) - 1)
    console.print(table)
    for row in rows:
        print_text(
            console,
            f"{row.family}: {', '.join(row.models)}\n  modules: {row.verified_against}\n  licence: {row.license}",
        )
    print_text(
        console,
        "\nFloats: fp32 and fp16 are exported and gated on random weights by the tests, on small models of each family;"
        " full size: of how many models that was done at their own size (docs/families.md). Fewer bits: by the gate of"
        " each export.",
    )
