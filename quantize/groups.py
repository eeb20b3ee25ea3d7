"""Layers that stand or fall together in a search: the same layer of every block of a stage."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

BLOCK = re.compile(r"\.blocks\.\d+\.")
NUMBERED = re.compile(r"(layers|output_hypernetworks_mlps)\.\d+\.(?=cross|self|mlp|layers)")

STAGE = re.compile(r"\w+\.(?:layers\.\d+|\w+)(?=\.)")
FLOAT32 = "fp32 "


def group_name(layer: str) -> str:
    """Return the layer's name with the number of its block left open.

    `encoder.layers.2.blocks.5.mlp.fc1` -> `encoder.layers.2.blocks.*.mlp.fc1`
    """
    return NUMBERED.sub(r"\1.*.", BLOCK.sub(".blocks.*.", layer))


def grouped(layers: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """Return the layers of each group, both in order."""
    groups: dict[str, list[str]] = {}
    for layer in layers:
        groups.setdefault(group_name(layer), []).append(layer)
    return {name: tuple(members) for name, members in groups.items()}


def float32_groups(layers: Iterable[str]) -> Mapping[str, str]:
    """Return the modules that may compute in fp32 as one, by the name of their group in a search.

    `encoder.layers.2.blocks.5.mlp.fc1` lies in `fp32 encoder.layers.2`, `encoder.neck.neck_0` in `fp32 encoder.neck`.
    """
    return {f"{FLOAT32}{module}": module for module in dict.fromkeys(map(_stage, layers))}


def _stage(layer: str) -> str:
    found = STAGE.match(layer)
    return found.group() if found else layer.rpartition(".")[0]
