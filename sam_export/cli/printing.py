"""Text on a console as it is: what brackets say stays, no word is coloured, no line is broken at the window's edge."""

from __future__ import annotations

import msgspec
from rich.console import Console


def print_text(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def print_json(console: Console, value: object) -> None:
    """Print a value for machines, indented."""
    print_text(console, msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
