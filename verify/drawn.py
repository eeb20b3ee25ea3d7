"""Boxes that were drawn beforehand for the built-in models, since finding those with a stable mask takes minutes.

A row holds for one checkpoint and one picture, both named by hash; for anything else prompts are drawn when they are
needed. Nothing is taken on trust: a suite keeps a box only if the reference still answers it with a stable mask.
`python -m sam_export.verify.drawn MODEL` draws those of a model again.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.resources import files
from pathlib import Path

import msgspec

from .prompt import Box

Drawn = dict[str, dict[str, tuple[Box, ...]]]
FILE = "drawn.json"


def drawn_boxes(checkpoint_sha256: str, picture_sha256: str) -> tuple[Box, ...] | None:
    """Return the boxes (x0, y0, x1, y1) in pixels of the picture, or None if none were drawn beforehand."""
    return _read().get(checkpoint_sha256, {}).get(picture_sha256)


@cache
def _read() -> Drawn:
    return msgspec.json.decode(files(__package__).joinpath(FILE).read_bytes(), type=Drawn)


def main(model_name: str) -> None:
    """Draw the boxes of every gate and search picture again, and write them beside this file."""
    from ..models import load
    from .pictures import picture_set
    from .prompts import Canvas, draw_boxes
    from .reference import TorchReference

    model = load(model_name)
    reference = TorchReference(model)
    boxes: dict[str, tuple[Box, ...]] = {}
    for picture in (*picture_set("gate"), *picture_set("search")):
        found = draw_boxes(picture, Canvas(reference, reference.encode(picture)))
        boxes[picture.sha256] = tuple(seen.case.prompt.box for seen in found if seen.case.prompt.box is not None)
        sys.stdout.write(f"{picture.name}: {len(found)} boxes\n")
    table = {**_read(), model.checkpoint_sha256: boxes}
    text = msgspec.json.format(msgspec.json.encode(table), indent=1)
    (Path(__file__).parent / FILE).write_bytes(text + b"\n")


if __name__ == "__main__":
    main(sys.argv[1])
