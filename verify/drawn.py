"""Boxes that were drawn beforehand for the built-in models, since finding those with a stable mask takes minutes.

A row holds for one checkpoint and one picture, both named by hash; for anything else prompts are drawn when they are
needed. Nothing is taken on trust: a suite keeps a box only if the reference still answers it with a stable mask.

    python -m sam_export.verify.drawn lite_medsam

draws those of a model again and replaces its rows. The file is the same each time on the same kind of machine; on
another one, rounding may move a box by a pixel.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from importlib.resources import files
from pathlib import Path

import msgspec
import torch
from rich.console import Console
from rich.progress import track

from ..errors import OutputError, SamExportError
from ..models import SamModel, load
from .pictures import Picture, SetName, picture_set
from .prompt import Box
from .prompts import STABILITY, Canvas, Effort, draw_boxes
from .reference import TorchReference

Drawn = dict[str, dict[str, tuple[Box, ...]]]
FILE = Path(__file__).with_name("drawn.json")

# In rounds of 12 starts: up to 72 random boxes on a picture of the gate's set, 96 on one of the search set, which
# has few pictures. What is drawn when it is needed has 36.
EFFORTS: Mapping[SetName, Effort] = {
    "gate": Effort(rounds=6, enough=8, most=8),
    "search": Effort(rounds=8, enough=16, most=16),
}
# Above what a suite asks for, so that the rounding of another machine loses no box.
MARGIN = 0.001


def drawn_boxes(checkpoint_sha256: str, picture_sha256: str) -> tuple[Box, ...] | None:
    """Return the boxes (x0, y0, x1, y1) in pixels of the picture, or None if none were drawn beforehand."""
    return _read().get(checkpoint_sha256, {}).get(picture_sha256)


@cache
def _read() -> Drawn:
    return msgspec.json.decode(files(__package__).joinpath(FILE.name).read_bytes(), type=Drawn)


def boxes_beforehand(reference: TorchReference, effort: Effort, picture: Picture) -> tuple[Box, ...]:
    """Return what a picture's row holds."""
    canvas = Canvas(reference, reference.encode(picture))
    found = draw_boxes(picture, canvas, effort=effort)
    steady = [seen.case.prompt.box for seen in found if seen.stability >= STABILITY + MARGIN]
    return tuple(box for box in steady if box is not None)


def draw_sets(reference: TorchReference, workers: int) -> Iterator[tuple[SetName, Picture, tuple[Box, ...]]]:
    """Yield every picture's boxes, set by set. Pictures are drawn side by side, each by one thread of its own."""
    with ThreadPoolExecutor(workers) as pool:
        try:
            for name, effort in EFFORTS.items():
                pictures = picture_set(name)
                rows = pool.map(partial(boxes_beforehand, reference, effort), pictures)
                yield from ((name, picture, boxes) for picture, boxes in zip(pictures, rows, strict=True))
        finally:
            pool.shutdown(cancel_futures=True)


def rendered(table: Drawn) -> bytes:
    """Return the file's content, one line a picture."""
    models = ",\n".join(
        f' "{model}": {{\n' + ",\n".join(f'  "{picture}": {_row(boxes)}' for picture, boxes in rows.items()) + "\n }"
        for model, rows in table.items()
    )
    return f"{{\n{models}\n}}\n".encode()


def _row(boxes: Sequence[Box]) -> str:
    return "[" + ", ".join("[" + ", ".join(f"{value:g}" for value in box) + "]" for box in boxes) + "]"


def write(table: Drawn, path: Path) -> None:
    """Replace the file as a whole, or leave it as it is.

    Raises:
        OutputError: it cannot be written, as in an installed package of another user.
    """
    staging = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        staging.write_bytes(rendered(table))
        staging.replace(path)
    except OSError as exc:
        raise OutputError(f"{path}: cannot be written ({exc.strerror or exc}); run it from a clone") from exc
    finally:
        staging.unlink(missing_ok=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Draw a model's boxes again, with a bar for the pictures, and print how many there are of each set."""
    parser = argparse.ArgumentParser(
        prog="python -m sam_export.verify.drawn", description="Draw a model's boxes again."
    )
    parser.add_argument("model", metavar="MODEL", help="one that `sam-export models` lists")
    name = parser.parse_args(argv).model
    try:
        model = load(name)
        # One thread a picture is faster than all on one, and gives the same on every number of cores.
        workers = torch.get_num_threads()
        torch.set_num_threads(1)
        draw_model(model, workers, FILE)
    except SamExportError as exc:
        sys.stderr.write(f"{exc}\n")
        return exc.exit_status
    return 0


def draw_model(model: SamModel, workers: int, path: Path) -> None:
    """Replace a model's rows in the file, and leave those of others.

    Raises:
        OutputError: see `write`.
    """
    total = sum(len(picture_set(name)) for name in EFFORTS)
    sets = draw_sets(TorchReference(model), workers)
    drawn = list(track(sets, model.variant.name, total, console=Console(stderr=True)))
    write({**_read(), model.checkpoint_sha256: {picture.sha256: boxes for _, picture, boxes in drawn}}, path)
    for name in EFFORTS:
        counts = [len(boxes) for found, _, boxes in drawn if found == name]
        sys.stdout.write(f"{name}: {sum(counts)} boxes on {sum(map(bool, counts))} of {len(counts)} pictures\n")


if __name__ == "__main__":
    sys.exit(main())
