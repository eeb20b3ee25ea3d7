"""Which traced ops belong to which module: the names that torch's tracer gives ops are paths of module calls."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..errors import ConversionError

SEPARATORS = re.compile(r"[/.]")


def ops_of_modules(op_names: Iterable[str], modules: tuple[str, ...], subject: str) -> frozenset[str]:
    """Return the names of the ops that the modules (dotted paths) computed.

    A traced name is `/called/module/Op`, or `/called/list.0/Op` for a module in a list; modules whose `forward` was not
    called on the way are missing from it, so `prompt_encoder.pe_layer` computes `/pe_layer/Sin`.

    Raises:
        ConversionError: a module computed nothing that can be found, so that it cannot be treated apart.
    """
    names = tuple(op_names)
    found: set[str] = set()
    for module in modules:
        ops = {name for name in names if _is_below(name, module.split("."))}
        if not ops:
            raise ConversionError(f"{subject}: no traced op belongs to {module!r}, which must stay fp32; is it called?")
        found |= ops
    return frozenset(found)


def _is_below(op_name: str, module: list[str]) -> bool:
    called = SEPARATORS.split(op_name.strip("/"))[:-1]
    return any(
        called[index] == module[-1] and _is_subsequence(called[:index], module[:-1]) for index in range(len(called))
    )


def _is_subsequence(part: list[str], whole: list[str]) -> bool:
    remaining = iter(whole)
    return all(item in remaining for item in part)
