"""What a click costs beyond the two graphs, and what 64 boxes in one call save over 64 calls of a plain decoder.

    python -m sam_export.benchmarks.predict dist/lite_medsam-onnx-fp32 --threads 2 -o out/

All runs of a comparison are timed turn by turn; what counts is the ratio, round by round. `graphs` runs encoder and
decoder with tensors that are ready; `calls` is `set_image` and `predict` with a box, masks in the picture's size
included. The plain decoder is that of the peer `plain`, on onnxruntime's CPU; its 64 calls give low-res logits only,
ours give masks.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce
from pathlib import Path

import numpy as np

from ..contract import Array, EngineOptions, ImageArray
from ..manifest import read_manifest
from ..models import SamModel, load
from ..runtimes import Segmenter, open_bundle
from ..runtimes.decoder_feeds import decoder_feeds
from ..runtimes.preprocess import prepare_image
from ..runtimes.prompts import check_prompts
from ..runtimes.timing import Samples, measure, paired_ratio
from .peer_graphs import PLAIN
from .peer_making import Source, default_folder, make_graphs
from .peer_sessions import open_peer

SIZES = ((512, 512), (1500, 2000))
BATCH = 64
Run = Callable[[], object]


@dataclass(frozen=True)
class Comparison:
    """Two ways to the same masks, timed in the same rounds; seconds of each round."""

    what: str
    candidate: str
    baseline: str
    candidate_seconds: tuple[float, ...]
    baseline_seconds: tuple[float, ...]

    @property
    def ours(self) -> Samples:
        return Samples(self.candidate_seconds)

    @property
    def theirs(self) -> Samples:
        return Samples(self.baseline_seconds)

    @property
    def ratio(self) -> float:
        """The median over rounds of candidate by baseline."""
        return paired_ratio(self.ours, self.theirs)

    def with_rounds_of(self, other: Comparison) -> Comparison:
        """Return the rounds of both."""
        return replace(
            self,
            candidate_seconds=self.candidate_seconds + other.candidate_seconds,
            baseline_seconds=self.baseline_seconds + other.baseline_seconds,
        )


@dataclass(frozen=True)
class Report:
    bundle: str
    engine: str
    threads: int
    comparisons: tuple[Comparison, ...]


def merged(reports: Sequence[Report]) -> Report:
    """Return several runs of the same comparisons as one."""
    comparisons = tuple(
        reduce(Comparison.with_rounds_of, same) for same in zip(*(one.comparisons for one in reports), strict=True)
    )
    return replace(reports[0], comparisons=comparisons)


def compare_predictions(bundle: Path, *, threads: int, rounds: int, box_rounds: int, model: SamModel) -> Report:
    """Return all comparisons of a bundle.

    Raises:
        BundleError, UnsupportedError, MissingDependencyError: the bundle cannot be opened here.
    """
    segmenter = open_bundle(bundle, options=EngineOptions(threads=threads))
    used = segmenter.reports["mask_decoder"]
    found = [one for size in SIZES for one in _overheads(segmenter, size, rounds)]
    found.append(_many_boxes(segmenter, _plain_decoder(model, threads), box_rounds))
    return Report(bundle.name, f"{used.engine} {used.version}, {used.compute_precision}", threads, tuple(found))


def _overheads(segmenter: Segmenter, size: tuple[int, int], rounds: int) -> tuple[Comparison, Comparison]:
    """Compare the calls with the graphs alone, and `predict` with the decoder alone."""
    image, box = _picture(size), _box(size)
    tensor = prepare_image(image, segmenter.preprocessing).tensor
    segmenter.set_image(image)
    feeds = _feeds(segmenter, size, box[np.newaxis])
    encoder, decoder = (segmenter.sessions[name] for name in ("image_encoder", "mask_decoder"))
    features = encoder.run({"image": tensor})

    def graphs() -> object:
        return decoder.run({**encoder.run({"image": tensor}), **feeds})

    def calls() -> object:
        segmenter.set_image(image)
        return segmenter.predict(box=box, multimask_output=False)

    runs: Mapping[str, Run] = {
        "graphs": graphs,
        "set_image and predict": calls,
        "decoder": lambda: decoder.run({**features, **feeds}),
        "predict": lambda: segmenter.predict(box=box, multimask_output=False),
    }
    samples = measure(runs, repeats=rounds, warmups=1)
    name = f"{size[1]}x{size[0]}"
    return (
        _comparison(f"picture and box, {name}", "set_image and predict", "graphs", samples),
        _comparison(f"box, {name}", "predict", "decoder", samples),
    )


def _many_boxes(segmenter: Segmenter, plain: Callable[[Mapping[str, Array]], object], rounds: int) -> Comparison:
    size = SIZES[0]
    segmenter.set_image(_picture(size))
    corners = np.random.default_rng(0).uniform(0.05, 0.55, (BATCH, 2)) * size
    boxes = np.concatenate([corners, corners + 0.4 * np.array(size)], axis=1)
    features = {"image_embeddings": segmenter.get_image_embedding()}
    feeds = [{**features, **_feeds(segmenter, size, box[np.newaxis])} for box in boxes]
    names = f"predict_batch of {BATCH}", f"{BATCH} plain calls"
    runs: Mapping[str, Run] = {
        names[0]: lambda: segmenter.predict_batch(boxes=boxes, multimask_output=False),
        names[1]: lambda: [plain(one) for one in feeds],
    }
    return _comparison(f"{BATCH} boxes, {size[1]}x{size[0]}", *names, measure(runs, repeats=rounds, warmups=1))


def _comparison(what: str, candidate: str, baseline: str, samples: Mapping[str, Samples]) -> Comparison:
    return Comparison(what, candidate, baseline, samples[candidate].seconds, samples[baseline].seconds)


def _picture(size: tuple[int, int]) -> ImageArray:
    return np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)


def _box(size: tuple[int, int]) -> Array:
    height, width = size
    return np.array([0.2 * width, 0.2 * height, 0.8 * width, 0.8 * height])


def _feeds(segmenter: Segmenter, size: tuple[int, int], boxes: Array) -> dict[str, Array]:
    prompts = check_prompts(None, None, boxes, None, original_hw=size, rule=segmenter.mask_rule)
    return decoder_feeds(prompts, size, segmenter.preprocessing, segmenter.mask_rule)


def _plain_decoder(model: SamModel, threads: int) -> Callable[[Mapping[str, Array]], object]:
    """Return the decoder as anyone gets it from `torch.onnx.export`: the peer `plain`."""
    folder = make_graphs(PLAIN, Source(model, None), default_folder())
    return open_peer(folder, EngineOptions(threads=threads)).sessions["mask_decoder"].run


def markdown(report: Report) -> str:
    """Return the report as a table."""
    lines = [
        f"`{report.bundle}`, {report.engine}, {report.threads} threads",
        "",
        "| what | candidate | baseline | candidate ms (quartiles) | baseline ms (quartiles) | ratio | rounds |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    for one in report.comparisons:
        cells = (
            one.what,
            one.candidate,
            one.baseline,
            _spread(one.ours),
            _spread(one.theirs),
            f"{one.ratio:.3f}",
            str(len(one.candidate_seconds)),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _spread(samples: Samples) -> str:
    low, high = samples.quartiles
    return f"{1e3 * samples.median:.1f} ({1e3 * low:.1f} - {1e3 * high:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--box-rounds", type=int, default=3)
    parser.add_argument("-o", "--out", type=Path, help="folder for predict.json and predict.md")
    given = parser.parse_args()
    model = load(read_manifest(given.bundle).model.model)
    report = compare_predictions(
        given.bundle, threads=given.threads, rounds=given.rounds, box_rounds=given.box_rounds, model=model
    )
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "predict.json").write_text(json.dumps(asdict(report), indent=2) + "\n")
        (given.out / "predict.md").write_text(markdown(report))
    sys.stdout.write(markdown(report))


if __name__ == "__main__":
    main()
