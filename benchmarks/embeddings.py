"""What storing embeddings as fp16 or int8 costs the masks: `.semb` files against the fp32 features they were made from.

    python -m sam_export.benchmarks.embeddings dist/lite_medsam-onnx-fp32

Pictures and stable prompts are the gate's. Each picture is encoded once, written and read back in every dtype, and the
same decoder answers on both; what counts is the IoU of the masks at the picture's size.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ..contract import EngineOptions
from ..manifest import read_manifest
from ..models import load
from ..runtimes import EncodedPicture, Segmenter, open_bundle
from ..runtimes.embedding_file import write_embedding
from ..runtimes.embedding_tensors import DTYPES, EmbeddingDtype
from ..runtimes.selftest import mask_iou
from ..verify.pictures import picture_set
from ..verify.prompt import Prompt, as_runtime_prompt
from ..verify.suite import SuitePicture, build_suite

STORED: tuple[EmbeddingDtype, ...] = ("fp32", "fp16", "int8")
assert set(STORED) == set(DTYPES)


@dataclass(frozen=True)
class Exactness:
    """IoU of masks on stored features with those on the features themselves; `bytes`: of the largest file."""

    dtype: str
    bytes: int
    prompts: int
    pictures: int
    mean_iou: float
    worst_iou: float
    worst_picture: str


def measure_exactness(segmenter: Segmenter, pictures: Sequence[SuitePicture]) -> tuple[Exactness, ...]:
    """Return one row a dtype, over the stable prompts of all pictures."""
    found: dict[EmbeddingDtype, list[tuple[float, str]]] = {dtype: [] for dtype in STORED}
    sizes = dict.fromkeys(STORED, 0)
    with tempfile.TemporaryDirectory(prefix="sam-export-") as folder:
        for entry in pictures:
            prompts = [case.prompt for case in entry.cases if case.prompt.role == "stable"]
            encoded = segmenter.encode(entry.picture.image)
            reference = _masks(segmenter, encoded, prompts)
            for dtype in STORED:
                path = Path(folder) / f"{dtype}.semb"
                size = write_embedding(path, segmenter.embedding_key.embedding(encoded), dtype)
                sizes[dtype] = max(sizes[dtype], size)
                candidate = _masks(segmenter, segmenter.read_embedding(path), prompts)
                found[dtype] += [
                    (mask_iou(one, other), entry.picture.name) for one, other in zip(reference, candidate, strict=True)
                ]
    return tuple(_row(dtype, sizes[dtype], found[dtype]) for dtype in STORED)


def _masks(segmenter: Segmenter, encoded: EncodedPicture, prompts: Sequence[Prompt]) -> list[NDArray[np.bool_]]:
    """Return the single mask of each prompt, one call each, as a person would ask."""
    return [
        segmenter.decode(encoded, as_runtime_prompt(prompt), multimask_output=False).masks[0, 0].astype(np.bool_)
        for prompt in prompts
    ]


def _row(dtype: str, size: int, scores: Sequence[tuple[float, str]]) -> Exactness:
    ious = [iou for iou, _ in scores]
    worst_iou, worst_picture = min(scores)
    pictures = len({name for _, name in scores})
    return Exactness(dtype, size, len(scores), pictures, float(np.mean(ious)), worst_iou, worst_picture)


def _table(rows: Sequence[Exactness]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("stored as")
    for name in ("MB", "prompts", "mean IoU", "worst IoU"):
        table.add_column(name, justify="right")
    table.add_column("on")
    for row in rows:
        numbers = (f"{row.bytes / 1e6:.2f}", str(row.prompts), f"{row.mean_iou:.5f}", f"{row.worst_iou:.5f}")
        table.add_row(row.dtype, *numbers, row.worst_picture)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    segmenter = open_bundle(given.bundle, options=EngineOptions(threads=given.threads))
    suite = build_suite(load(read_manifest(given.bundle).model.model), picture_set("gate"))
    rows = measure_exactness(segmenter, suite.pictures)
    console = Console()
    if given.json:
        console.print_json(json.dumps([asdict(row) for row in rows]))
        return
    console.print(_table(rows))


if __name__ == "__main__":
    main()
