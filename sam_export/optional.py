"""Importing packages that only some users have installed, and keeping them quiet."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from .errors import MissingDependencyError

# What coremltools logs as a warning on every import off a Mac, or beside a newer torch or scikit-learn.
COREMLTOOLS_ROUTINE = ("scikit-learn version", "Torch version", "Failed to load _ML")


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


def require_installed(package: str, *, purpose: str, extra: str) -> None:
    """Raise MissingDependencyError if the package is not there; does not import it, which may take seconds."""
    hidden = package in sys.modules and sys.modules[package] is None
    if hidden or importlib.util.find_spec(package) is None:
        raise MissingDependencyError(
            f"{purpose} needs the package {package}, which is not installed; pip install 'sam-export[{extra}]'"
        )


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


def import_onnxruntime(*, purpose: str, extra: str) -> ModuleType:
    """Return `onnxruntime`, imported without its usage reporting.

    Its wheels report every session to their maker since 1.29, unless this variable is set before the import. What the
    user's environment says of it is kept: `ORT_DISABLE_TELEMETRY=0` leaves it on.
    """
    disabled = os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1") == "1"
    ort = import_optional("onnxruntime", purpose=purpose, extra=extra)
    if disabled:
        ort.disable_telemetry_events()  # most of it, should somebody else have imported it before
    return ort


def import_coremltools(*, purpose: str, extra: str) -> ModuleType:
    """Return `coremltools`, imported without the warnings that say nothing new."""
    with hidden_log("coremltools", COREMLTOOLS_ROUTINE):
        return import_optional("coremltools", purpose=purpose, extra=extra)


@contextmanager
def hidden_log(logger: str, openings: tuple[str, ...]) -> Iterator[None]:
    """Drop this logger's messages that start with one of `openings`; all others still show."""

    def is_news(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(openings)

    log = logging.getLogger(logger)
    log.addFilter(is_news)
    try:
        yield
    finally:
        log.removeFilter(is_news)
