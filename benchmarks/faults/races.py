"""Two of the same command at once."""

from __future__ import annotations

from collections.abc import Iterator

from .cases import OURS, Case
from .commands import Command, Stock, embed, export, pull, pull_wheel, search
from .run import Ended, Place, Running


def race_cases(stock: Stock) -> Iterator[Case]:
    commands = (
        export(stock, "onnx"),
        export(stock, "onnx", overwrite=True),
        pull(stock),
        pull_wheel(stock),
        embed(stock),
        search(stock),
    )
    for command in commands:
        yield Case("two at once", f"{command.name}, to one folder", command, disturbed=_twice, refused=False)


def _twice(command: Command, place: Place) -> Ended:
    """Return how the one ended that did worse; one of two exports may find that the other was there before it."""
    both = [Running(command.words(place), place, command.conditions) for _ in range(2)]
    first, second = sorted((one.ended() for one in both), key=lambda ended: abs(ended.status))
    late = second.said.startswith(OURS) and "give --overwrite to replace it" in second.said
    return first if late else second
