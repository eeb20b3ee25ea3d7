"""Which traced ops belong to which module: the names that torch's tracer gives ops are paths of module calls."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from ..errors import ConversionError


def ops_of_modules(op_names: Iterable[str], modules: tuple[str, ...], subject: str) -> frozenset[str]:
    """Return the names of the ops that the modules (dotted paths) computed.

    A traced name is `/called/module/Op`, or `/called/list.0/Op` for a module in a list, `/called/list/list.0/Op` if the
    list was called itself; modules whose `forward` was not called on the way are missing from it, so
    `prompt_encoder.pe_layer` computes `/pe_layer/Sin`.

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
    called = _path(op_name)
    return any(
        called[index] == module[-1] and _is_subsequence(called[:index], module[:-1]) for index in range(len(called))
    )


def _path(op_name: str) -> list[str]:
    """Return the modules on the way to the op, each list once."""
    calls = op_name.strip("/").split("/")[:-1]
    inner = (call for call, next_call in pairwise([*calls, ""]) if not next_call.startswith(f"{call}."))
    return [name for call in inner for name in call.split(".")]


def _is_subsequence(part: list[str], whole: list[str]) -> bool:
    remaining = iter(whole)
    return all(item in remaining for item in part)
