"""One run of the mask generator over a bundle, in a process of its own, so that its peak memory is its own.

python -m sam_export.benchmarks.everything_run REQUEST.json RESULT.json
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ..contract import Array, EngineOptions, EngineReport, Session
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
    """`model` and `checkpoint` are the peer's, `bundle`, `compute_precision` and `high_score_thresh` are ours.

    `high_score_thresh`: what hierarchical asking takes as sure; None asks all points.
    """

    pictures: tuple[str, ...]
    options: Options
    threads: int
    model: str = ""
    checkpoint: str | None = None
    bundle: str = ""
    compute_precision: str | None = None
    high_score_thresh: float | None = None


class Mask(msgspec.Struct, frozen=True):
    segmentation: CocoRle
    area: int


class Answer(msgspec.Struct, frozen=True):
    """The masks of one picture, and the seconds that `generate` took, encoding included."""

    picture: str
    seconds: float
    masks: tuple[Mask, ...]


class Result(msgspec.Struct, frozen=True):
    """`points`: how many were asked in all pictures; upstream asks all and does not count."""

    engine: str
    peak_bytes: int
    answers: tuple[Answer, ...]
    points: int = 0


class CountingDecoder:
    """A mask decoder that counts its prompts."""

    def __init__(self, decoder: Session) -> None:
        self.decoder, self.prompts = decoder, 0

    @property
    def report(self) -> EngineReport:
        return self.decoder.report

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self.prompts += len(feeds["point_coords"])
        return self.decoder.run(feeds)


def run(request: Request) -> Result:
    """Return the answers of a bundle. Opening it, and a first picture of one point, are not timed."""
    options = EngineOptions(threads=request.threads, compute_precision=request.compute_precision)
    opened = open_bundle(request.bundle, options=options)
    opened.generate(read_image(request.pictures[0]), points_per_side=1)
    decoder = CountingDecoder(opened.sessions["mask_decoder"])
    sessions = {**opened.sessions, "mask_decoder": decoder}
    segmenter = Segmenter(sessions, opened.preprocessing, opened.mask_rule)
    asked = request.options
    keywords: GeneratorKeywords = {
        "points_per_side": asked.points_per_side,
        "pred_iou_thresh": asked.pred_iou_thresh,
        "stability_score_thresh": asked.stability_score_thresh,
        "box_nms_thresh": asked.box_nms_thresh,
        "output_mode": "coco_rle",
    }
    if request.high_score_thresh is not None:
        keywords |= {"hierarchical": True, "high_score_thresh": request.high_score_thresh}
    generator = AutomaticMaskGenerator(segmenter, **keywords)
    answers = tuple(_answer(generator, picture) for picture in request.pictures)
    return Result(_engine(segmenter), peak_bytes(), answers, decoder.prompts)


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
