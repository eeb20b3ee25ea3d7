"""`sam-export` with the tiny model among its own, in a fresh process; its weights are put into the cache.

python -m sam_export.benchmarks.faults.tiny_cli CHECKPOINT ADDRESS tiny_sam --target onnx -o dist/
"""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path

from ...models.cache import checkpoint_path
from .tiny import make_known, of_address


def main(argv: list[str]) -> int:
    """Return the exit status of the command. `ADDRESS`: where the weights are said to come from."""
    checkpoint, address, *words = argv
    row = of_address(address, Path(checkpoint))
    make_known(row)
    kept = checkpoint_path(row)
    if not kept.exists():
        kept.parent.mkdir(parents=True)
        shutil.copyfile(checkpoint, kept)
    status: int = importlib.import_module("sam_export.cli").main(words)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
