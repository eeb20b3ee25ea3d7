"""Importing packages that only some users have installed, and keeping them quiet."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from .errors import MissingDependencyError


def import_optional(package: str, *, purpose: str, extra: str) -> ModuleType:
    """Return the package, imported.

    Raises:
        MissingDependencyError: it is not installed, or does not import; the text gives the `pip install` line.
    """
    try:
        return importlib.import_module(package)
    except ImportError as exc:
        found = "is not installed" if isinstance(exc, ModuleNotFoundError) else f"does not import ({exc})"
        raise MissingDependencyError(
            f"{purpose} needs the package {package}, which {found}; pip install 'sam-export[{extra}]'"
        ) from exc


def import_openvino(*, purpose: str, extra: str) -> ModuleType:
    """Return `openvino`, imported without its usage reporting.

    `import openvino` alone sends an event over the network if `openvino_telemetry` can be imported, and falls back
    to a stub of its own if it cannot. The package is hidden during that import only, since others may want it.
    """
    name = "openvino_telemetry"
    before = sys.modules.get(name)
    sys.modules[name] = None  # type: ignore[assignment]  # the documented way to make an import fail
    try:
        return import_optional("openvino", purpose=purpose, extra=extra)
    finally:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before
