"""From a torch component to a graph on disk, one file for each target.

Adding a target is a file with a class that satisfies `Target`, and a line in `TARGETS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..contract import Graph
from ..errors import OutputError, UnsupportedError
from ..optional import require_installed
from .coreml import CoreMl
from .onnx import Onnx
from .openvino import OpenVino
from .target import ExportOptions, Target
from .triton import Triton
from .web import Web

if TYPE_CHECKING:
    from ..models.components import Component

__all__ = ["TARGETS", "ExportOptions", "Target", "check_request", "export", "find_target"]

TARGETS: Mapping[str, Target] = {
    "onnx": Onnx(),
    "openvino": OpenVino(),
    "coreml": CoreMl(),
    "web": Web(),
    "triton": Triton(),
}


def find_target(name: str, precision: str | None = None) -> Target:
    """Return the target of that name, which can do the precision.

    Raises:
        UnsupportedError: an unknown target, or a precision that it cannot do; the text lists those that it can.
    """
    if name not in TARGETS:
        raise UnsupportedError(f"no target {name!r}; choose one of {', '.join(TARGETS)}")
    target = TARGETS[name]
    if precision is not None and precision not in target.precisions:
        raise UnsupportedError(f"{name} cannot do {precision!r}; choose one of {', '.join(target.precisions)}")
    return target


def check_request(name: str, precision: str, options: ExportOptions) -> None:
    """Raise what would stop an export, before any work is spent on it.

    Raises:
        UnsupportedError: an unknown target, a precision or an option that it cannot do.
        MissingDependencyError: its converter is not installed.
    """
    target = find_target(name, precision)
    target.check_options(options)
    for package in target.requires:
        require_installed(package, purpose=f"exporting to {name}", extra=target.extra)


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
    chosen = find_target(target, precision)
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        return chosen.export(component, precision, out_dir, options or ExportOptions())
    except OSError as exc:
        reason = exc.strerror or exc
        raise OutputError(f"{out_dir}: cannot be written ({reason}); free space, or set TMPDIR elsewhere") from exc
