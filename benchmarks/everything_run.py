"""One run of the mask generator over a bundle, in a process of its own, so that its peak memory is its own.

python -m sam_export.benchmarks.everything_run REQUEST.json RESULT.json
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import msgspec

from ..contract import EngineOptions
from ..runtimes import AutomaticMaskGenerator, Segmenter, open_bundle, read_image
from ..runtimes.automatic_options import GeneratorKeywords
from ..runtimes.coco import CocoRle
from .peak_memory import peak_bytes


class Options(msgspec.Struct, frozen=True):
    """What both generators are asked; the names are upstream's."""

    points_per_side: int
    pred_iou_thresh: float
    stability_score_thresh: float
    box_nms_thresh: float


class Request(msgspec.Struct, frozen=True):
    """`model` and `checkpoint` are the peer's, `bundle`, `compute_precision` and `hierarchical` are ours."""

    pictures: tuple[str, ...]
    options: Options
    threads: int
    model: str = ""
    checkpoint: str | None = None
    bundle: str = ""
    compute_precision: str | None = None
    hierarchical: bool = False


class Mask(msgspec.Struct, frozen=True):
    segmentation: CocoRle
    area: int


class Answer(msgspec.Struct, frozen=True):
    """The masks of one picture, and the seconds that `generate` took, encoding included."""

    picture: str
    seconds: float
    masks: tuple[Mask, ...]


class Result(msgspec.Struct, frozen=True):
    engine: str
    peak_bytes: int
    answers: tuple[Answer, ...]


def run(request: Request) -> Result:
    """Return the answers of a bundle. Opening it, and a first picture of one point, are not timed."""
    options = EngineOptions(threads=request.threads, compute_precision=request.compute_precision)
    segmenter = open_bundle(request.bundle, options=options)
    segmenter.generate(read_image(request.pictures[0]), points_per_side=1)
    asked = request.options
    keywords: GeneratorKeywords = {
        "points_per_side": asked.points_per_side,
        "pred_iou_thresh": asked.pred_iou_thresh,
        "stability_score_thresh": asked.stability_score_thresh,
        "box_nms_thresh": asked.box_nms_thresh,
        "hierarchical": request.hierarchical,
        "output_mode": "coco_rle",
    }
    generator = AutomaticMaskGenerator(segmenter, **keywords)
    answers = tuple(_answer(generator, picture) for picture in request.pictures)
    return Result(_engine(segmenter), peak_bytes(), answers)


def _answer(generator: AutomaticMaskGenerator, picture: str) -> Answer:
    image = read_image(picture)
    started = time.perf_counter()
    records = generator.generate(image)
    seconds = time.perf_counter() - started
    return Answer(picture, seconds, msgspec.convert([_plain(dict(record)) for record in records], tuple[Mask, ...]))


def _plain(record: dict[str, object]) -> dict[str, object]:
    return {"segmentation": record["segmentation"], "area": record["area"]}


def _engine(segmenter: Segmenter) -> str:
    report = segmenter.reports["mask_decoder"]
    return f"{report.engine} {report.version.split('-')[0]}, {report.compute_precision}"


def main() -> None:
    request = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Request)
    Path(sys.argv[2]).write_bytes(msgspec.json.encode(run(request)))


if __name__ == "__main__":
    main()
