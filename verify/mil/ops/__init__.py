"""Every MIL operation that the evaluator knows, in one table made of the files' own.

A handler takes the operation's inputs and returns its outputs in float32 (or integers, or booleans), on
fresh storage unless the operation is listed in `VIEWS`: the evaluator rounds in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from torch import Tensor

from ..inputs import OpInputs
from . import compressed, elementwise, linear, normalise, shape, spatial

Handler = Callable[[OpInputs], Tensor | tuple[Tensor, ...]]


def merged(tables: Iterable[Mapping[str, Handler]]) -> dict[str, Handler]:
    """Return one table of all; raises ValueError if two define the same operation."""
    handlers: dict[str, Handler] = {}
    for table in tables:
        if twice := handlers.keys() & table.keys():
            raise ValueError(f"defined twice: {', '.join(sorted(twice))}")
        handlers |= table
    return handlers


HANDLERS: Mapping[str, Handler] = merged(
    (
        elementwise.HANDLERS,
        linear.HANDLERS,
        normalise.HANDLERS,
        shape.HANDLERS,
        spatial.HANDLERS,
        compressed.HANDLERS,
    )
)
VIEWS: frozenset[str] = shape.VIEWS | elementwise.VIEWS
