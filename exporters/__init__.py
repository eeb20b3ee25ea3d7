"""From a torch component to a graph on disk, one file for each target.

Adding a target is a file with a class that satisfies `Target`, and a line in `TARGETS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..contract import Graph
from ..errors import OutputError, UnsupportedError
from .coreml import CoreMl
from .onnx import Onnx
from .openvino import OpenVino
from .target import ExportOptions, Target

if TYPE_CHECKING:
    from ..models.components import Component

__all__ = ["TARGETS", "ExportOptions", "Target", "export"]

TARGETS: Mapping[str, Target] = {"onnx": Onnx(), "openvino": OpenVino(), "coreml": CoreMl()}


def export(
    component: Component, target: str, precision: str, out_dir: Path, options: ExportOptions | None = None
) -> Graph:
    """Return the component as a graph in `out_dir`, which is made if it does not exist.

    Raises:
        UnsupportedError: an unknown target, or a precision that it cannot do.
        ConversionError, ContractError: the converter failed, or gave another graph than the contract's.
        MissingDependencyError: the converter is not installed.
        OutputError: the folder cannot be written.
    """
    if target not in TARGETS:
        raise UnsupportedError(f"no target {target!r}; choose one of {', '.join(TARGETS)}")
    chosen = TARGETS[target]
    if precision not in chosen.precisions:
        raise UnsupportedError(f"{target} cannot do {precision!r}; choose one of {', '.join(chosen.precisions)}")
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        return chosen.export(component, precision, out_dir, options or ExportOptions())
    except OSError as exc:
        raise OutputError(f"{out_dir}: cannot be written ({exc.strerror or exc}); give another folder") from exc
