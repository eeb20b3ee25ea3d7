"""`sam-export` with the tiny model among its own, in a fresh process.

python -m sam_export.benchmarks.faults.tiny_cli CHECKPOINT tiny_sam --target onnx -o dist/
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path

from ...models import VARIANTS
from ...models.sources import FileSource
from .tiny import NAME, pinned, unplaced_row


def main(argv: list[str]) -> int:
    """Return the exit status of the command."""
    checkpoint, *words = argv
    row = replace(unplaced_row(), source=FileSource(Path(checkpoint)))
    VARIANTS[NAME] = pinned(row, Path(checkpoint))  # type: ignore[index]  # a dict, which nobody else changes
    status: int = importlib.import_module("sam_export.cli").main(words)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
