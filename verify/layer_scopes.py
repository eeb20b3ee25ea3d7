"""Which module an operation of a graph belongs to, by the name that torch's tracer gave it.

A traced name is `/called/module/Op`. Each part is relative to the module before it, and modules whose `forward` is not
called on the way are missing: `/encoder/layers.1/blocks.0/attn/qkv/MatMul`, `/patch_embed/seq/seq.0/c/Conv` (a
container repeats its own name), `/pe_layer/Sin` (of `prompt_encoder.pe_layer`). Converters and quantizers append to
these names and keep their beginnings.
"""

from __future__ import annotations

from collections.abc import Collection

# What NNCF puts between a module and its users to scale the values for them: it is no longer what the module gives.
OF_THE_USERS = "nncf_smooth_quant"


def module_of(op_name: str, modules: Collection[str]) -> str | None:
    """Return the innermost of the modules (dotted names) that the name leads to, "" for the graph's own code.

    None if the name does not say.
    """
    if not op_name.startswith("/") or OF_THE_USERS in op_name:
        return None
    found = ""
    for part in op_name.strip("/").split("/")[:-1]:
        below = _below(found, part, modules)
        if below is None:
            break
        found = below
    return found


def _below(module: str, part: str, modules: Collection[str]) -> str | None:
    """Return the module that `part` names, seen from `module`: a child, or the only one of that name further down."""
    prefix = f"{module}." if module else ""
    endings = part.split(".")
    for start in range(len(endings)):
        child = prefix + ".".join(endings[start:])
        if child in modules:
            return child
    further = [name for name in modules if name.startswith(prefix) and name.endswith(f".{part}")]
    return further[0] if len(further) == 1 else None
