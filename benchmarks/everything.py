"""Everything in a picture: a bundle's masks and time beside those of upstream's own generator in PyTorch eager.

    python -m sam_export.benchmarks.everything dist/lite_medsam-onnx-fp32 --peer build/upstream -o everything

Upstream's `SamAutomaticMaskGenerator` (segment-anything 1.0) runs on the same weights and options in an environment of
its own, which the first run makes in the folder `--peer`; without, only bundles are run. Each is a process of its own,
turn by turn. Upstream's masks are the reference: how many the bundle has, too, and with what IoU. `--hierarchical` adds
what asking fewer points loses, beside the same bundle asking all, for one or several logits that count as sure:

    python -m sam_export.benchmarks.everything BUNDLE --points-per-side 16 --hierarchical 8.5 4 2 1 --rounds 1 -o recall

A model that does not answer to points (lite_medsam) gives few masks that upstream's limits would keep. Both generators
then run with low limits, by default here, so that there are masks to compare: it shows that they compute the same, not
that such masks are of use, and a point is no box. Both take the one mask a point that the model was trained to give,
where upstream's would take three that it was not.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from ..manifest import read_manifest
from .everything_run import Options, Request, Result
from .mask_matching import FAITHFUL_IOU, FOUND_IOU, Matching, match, merged
from .peer_environment import Peer, own_process, peer

UPSTREAM = "upstream, PyTorch eager"
HIERARCHICAL = ", hierarchical at "
COLUMNS = (
    "generator",
    "engine",
    "seconds a picture",
    "speedup",
    "peak memory",
    "points",
    "masks",
    "compared with",
    "IoU >= 0.98",
    "IoU >= 0.9",
    "worst",
)
RUN = "sam_export.benchmarks.everything_run"


@dataclass(frozen=True)
class Contestant:
    """One of those that are compared. `reference`: whose masks its own are compared with; None for the first."""

    name: str
    request: Request
    reference: str | None


@dataclass(frozen=True)
class Row:
    """Seconds a picture: the median over pictures of the median over rounds, and the extremes of all rounds by it.

    `speedup`: the first's seconds by these, the median over rounds and pictures. `found`: the share of the reference's
    masks that are matched with an IoU of 0.9, `faithful` with 0.98. `points`: asked in all pictures, 0 for upstream.
    """

    name: str
    engine: str
    seconds: float
    fastest: float
    slowest: float
    speedup: float
    peak_bytes: int
    points: int
    masks: int
    reference: str | None
    faithful: float
    found: float
    worst_iou: float


Rounds = dict[str, list[Result]]


def compare(contestants: Sequence[Contestant], rounds: int, upstream: Peer | None) -> tuple[Row, ...]:
    """Return a row for each; the first is what others are compared with.

    Raises:
        ConversionError: one of the processes failed.
    """
    results: Rounds = defaultdict(list)
    for _ in range(rounds):
        for one in contestants:
            results[one.name].append(answered(one, upstream))
    return rows(contestants, results)


def answered(one: Contestant, upstream: Peer | None) -> Result:
    """Return what a process of its own answers.

    Raises:
        ConversionError: it failed.
    """
    run = upstream.run if one.name == UPSTREAM and upstream is not None else partial(own_process, RUN)
    with tempfile.TemporaryDirectory(prefix="sam-export-") as folder:
        request, result = Path(folder) / "request.json", Path(folder) / "result.json"
        request.write_bytes(msgspec.json.encode(one.request))
        run(request, result)
        return msgspec.json.decode(result.read_bytes(), type=Result)


def rows(contestants: Sequence[Contestant], results: Rounds) -> tuple[Row, ...]:
    """Return a row for each, of its answers in all rounds by its name."""
    return tuple(_row(one, results[contestants[0].name], results) for one in contestants)


def _row(one: Contestant, first: Sequence[Result], results: Rounds) -> Row:
    own = results[one.name]
    samples = [[answer.seconds for answer in result.answers] for result in own]
    ratios = [
        theirs.seconds / ours.seconds
        for before, after in zip(first, own, strict=True)
        for theirs, ours in zip(before.answers, after.answers, strict=True)
    ]
    matching = _matching(results[one.reference or one.name][0], own[0])
    totals = [statistics.mean(sample) for sample in samples]
    return Row(
        name=one.name,
        engine=own[0].engine,
        seconds=statistics.median(totals),
        fastest=min(totals),
        slowest=max(totals),
        speedup=statistics.median(ratios),
        peak_bytes=max(result.peak_bytes for result in own),
        points=own[0].points,
        masks=matching.candidate_count,
        reference=one.reference,
        faithful=matching.share_from(FAITHFUL_IOU),
        found=matching.share_from(FOUND_IOU),
        worst_iou=min(matching.ious, default=1.0),
    )


def _matching(reference: Result, candidate: Result) -> Matching:
    """Match picture by picture. Empty masks, which upstream keeps where no limit removes them, are no objects."""
    return merged(
        [
            match(
                [mask.segmentation for mask in before.masks if mask.area],
                [mask.segmentation for mask in after.masks if mask.area],
            )
            for before, after in zip(reference.answers, candidate.answers, strict=True)
        ]
    )


def markdown(found: Sequence[Row], facts: dict[str, str]) -> str:
    """Return the table, that of what asking fewer points loses if that was asked, and the facts, as Markdown."""
    parts = [table(found), recall_table(found), "; ".join(f"{name}: {value}" for name, value in facts.items())]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(found: Sequence[Row]) -> str:
    """Return a row for each, as Markdown."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---|---|---:|---:|---:|---:|---:|---|---:|---:|---:|"]
    for row in found:
        lines.append(
            f"| {row.name} | {row.engine} | {row.seconds:.1f} ({row.fastest:.1f} - {row.slowest:.1f}) | "
            f"{row.speedup:.2f}x | {row.peak_bytes / 1e9:.2f} GB | {row.points or 'all'} | {row.masks} | "
            f"{row.reference or '-'} | {row.faithful:.1%} | {row.found:.1%} | {row.worst_iou:.3f} |"
        )
    return "\n".join(lines)


def recall_table(found: Sequence[Row]) -> str:
    """Return what asking fewer points saves and loses, as Markdown; empty where nothing asked fewer."""
    whole = {row.name: row for row in found}
    fewer = [(row, whole[row.reference]) for row in found if row.reference in whole and HIERARCHICAL in row.name]
    head = ("asking fewer points", "points left out", "masks", "of", "recall at IoU 0.9", "at 0.98")
    lines = [f"| {' | '.join(head)} |", "|---|---:|---:|---:|---:|---:|"]
    for row, reference in fewer:
        lines.append(
            f"| {row.name} | {1 - row.points / reference.points:.0%} | {row.masks} | {reference.masks} | "
            f"{row.found:.1%} | {row.faithful:.1%} |"
        )
    return "\n".join(lines) if fewer else ""


def contestants_of(
    bundles: Sequence[Path], base: Request, hierarchical: Sequence[float], upstream: Request | None
) -> tuple[Contestant, ...]:
    """Return upstream, if it takes part, then each bundle, alone and asking fewer points at every threshold."""
    found = [] if upstream is None else [Contestant(UPSTREAM, upstream, None)]
    for bundle in bundles:
        own = msgspec.structs.replace(base, bundle=str(bundle))
        found.append(Contestant(bundle.name, own, found[0].name if found else None))
        for sure in hierarchical:
            fewer = msgspec.structs.replace(own, high_score_thresh=sure)
            found.append(Contestant(f"{bundle.name}{HIERARCHICAL}{sure:g}", fewer, bundle.name))
    return tuple(found)


def peers_request(base: Request, model: str, checkpoint: Path | None) -> Request:
    """Return the request for upstream's generator."""
    path = None if checkpoint is None else str(checkpoint.resolve())
    return msgspec.structs.replace(base, model=model, checkpoint=path)


def main() -> None:
    given = _parser().parse_args()
    options = Options(given.points_per_side, given.pred_iou_thresh, given.stability_score_thresh, given.box_nms_thresh)
    pictures = tuple(str(path.resolve()) for path in given.pictures or own_pictures())
    base = Request(pictures, options, given.threads, compute_precision=given.compute_precision)
    model = read_manifest(given.bundles[0]).model.model
    asked = None if given.peer is None else peers_request(base, model, given.checkpoint)
    contestants = contestants_of(given.bundles, base, given.hierarchical, asked)
    found = compare(contestants, given.rounds, None if given.peer is None else peer("upstream_everything", given.peer))
    facts = {
        "options": str(options),
        "pictures": ", ".join(Path(path).name for path in pictures),
        "rounds": str(given.rounds),
        "threads": str(given.threads),
        "processor": platform.processor() or platform.machine(),
    }
    given.out.mkdir(parents=True, exist_ok=True)
    text = markdown(found, facts)
    (given.out / "everything.md").write_text(text)
    (given.out / "everything.json").write_bytes(
        msgspec.json.format(msgspec.json.encode({"facts": facts, "rows": found}), indent=2) + b"\n"
    )
    sys.stdout.write(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("bundles", nargs="+", type=Path, metavar="BUNDLE", help="all of one model")
    parser.add_argument("--pictures", nargs="+", type=Path, help="default: two of scikit-image's")
    parser.add_argument("--checkpoint", type=Path, help="what the bundles were made from, if not pinned")
    parser.add_argument("--peer", type=Path, help="folder of upstream's environment, made once; without, no upstream")
    parser.add_argument("--points-per-side", type=int, default=32)
    parser.add_argument("--pred-iou-thresh", type=float, default=0.0)
    parser.add_argument("--stability-score-thresh", type=float, default=0.0)
    parser.add_argument("--box-nms-thresh", type=float, default=0.7)
    parser.add_argument("--compute-precision", help="asked of the bundles' engine")
    parser.add_argument(
        "--hierarchical", nargs="+", type=float, default=(), metavar="LOGIT", help="ask fewer points, too"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for everything.md and everything.json")
    return parser


def own_pictures() -> tuple[Path, ...]:
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    return folder / "coins.png", folder / "cell.png"


if __name__ == "__main__":
    main()
