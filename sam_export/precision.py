"""Names of precisions: one for both components (`int8`), or the encoder's and the decoder's (`int8+fp32`)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from .contract import ComponentName
from .errors import RequestError

BETWEEN = "+"


def of_components(precision: str) -> Mapping[ComponentName, str]:
    """Return the precision of each component. Raises RequestError for more than two names, or an empty one."""
    names = precision.split(BETWEEN)
    if len(names) > 2 or not all(names):
        raise RequestError(
            f"precision {precision!r}: give one for both components, or ENCODER{BETWEEN}DECODER, such as "
            f"int8{BETWEEN}fp32"
        )
    return {"image_encoder": names[0], "mask_decoder": names[-1]}


def combined(
    both: tuple[str, ...], encoder: tuple[str, ...], decoder: tuple[str, ...], default: str
) -> tuple[str, ...]:
    """Return the precisions asked for, in order; a component's own override those for both.

    Each of the encoder's goes with each of the decoder's.
    """
    if not encoder and not decoder:
        return both
    pairs = product(encoder or both or (default,), decoder or both or (default,))
    return tuple(first if first == second else f"{first}{BETWEEN}{second}" for first, second in pairs)
