"""Clicks, many boxes and everything in a picture, in one run: each bundle, and upstream's generator, turn by turn.

    python -m sam_export.benchmarks.interactive BUNDLE... --peer build/upstream -o docs

Every round runs upstream's generator, then each bundle's, then each bundle's calls (`benchmarks.predict`), each in a
process of its own. `interactive.json` keeps every sample, `interactive.md` is made from it.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from ..manifest import read_manifest
from . import everything, predict
from .everything import Contestant, Row, answered, contestants_of, own_pictures, peers_request
from .everything_run import Options, Request
from .machine import ForeignTime, this_machine
from .peer_environment import Peer, peer, run_process

PREDICT = "sam_export.benchmarks.predict"
INTRODUCTION = """# A session, measured

What a click costs beyond the two graphs, what many boxes in one call save, and everything in a picture beside
upstream's own generator in PyTorch eager on the same weights; made by `python -m sam_export.benchmarks.interactive`,
which keeps every sample in [interactive.json](interactive.json). Milliseconds and seconds are medians, with quartiles
or extremes behind them; ratios are of the same round."""


@dataclass(frozen=True)
class Plan:
    """How often: `rounds` of everything, in each of which a bundle's calls are timed so often."""

    rounds: int
    clicks: int
    boxes: int
    threads: int


@dataclass(frozen=True)
class Record:
    """`seconds`: of each contestant's pictures, round by round."""

    facts: dict[str, str]
    calls: tuple[predict.Report, ...]
    everything: tuple[Row, ...]
    seconds: dict[str, list[list[float]]]


def run(bundles: Sequence[Path], contestants: Sequence[Contestant], plan: Plan, upstream: Peer | None) -> Record:
    """Return what was measured.

    Raises:
        ConversionError: one of the processes failed.
    """
    results: everything.Rounds = defaultdict(list)
    reports: dict[str, list[predict.Report]] = defaultdict(list)
    foreign, children = ForeignTime(), _children_seconds()
    for _ in range(plan.rounds):
        for one in contestants:
            results[one.name].append(answered(one, upstream))
        for bundle in bundles:
            reports[bundle.name].append(_calls(bundle, plan))
    foreign.stop(_children_seconds() - children)
    machine = this_machine()
    return Record(
        facts={
            "machine": f"{machine.processor}, {machine.cores} cores, {', '.join(machine.instructions)}",
            "everything": f"{contestants[0].request.options}, on {_names(contestants[0].request.pictures)}",
            "rounds": f"{plan.rounds}, each with {plan.clicks} of clicks and {plan.boxes} of boxes",
            "quiet": foreign.disturbance.sentence(),
        },
        calls=tuple(predict.merged(found) for found in reports.values()),
        everything=everything.rows(contestants, results),
        seconds={
            name: [[answer.seconds for answer in result.answers] for result in found] for name, found in results.items()
        },
    )


def _calls(bundle: Path, plan: Plan) -> predict.Report:
    with tempfile.TemporaryDirectory(prefix="sam-export-") as folder:
        words = ["--threads", str(plan.threads), "--rounds", str(plan.clicks), "--box-rounds", str(plan.boxes)]
        run_process([sys.executable, "-m", PREDICT, str(bundle), *words, "-o", folder], PREDICT)
        return msgspec.json.decode((Path(folder) / "predict.json").read_bytes(), type=predict.Report)


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _names(paths: Sequence[str]) -> str:
    return ", ".join(Path(path).name for path in paths)


def markdown(record: Record) -> str:
    """Return the page."""
    parts = [
        INTRODUCTION,
        "\n".join(f"- {name}: {value}" for name, value in record.facts.items()),
        "## Clicks and boxes",
        *(predict.markdown(report).strip() for report in record.calls),
        "## Everything in a picture",
        everything.table(record.everything),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    given = _parser().parse_args()
    plan = Plan(given.rounds, given.click_rounds, given.box_rounds, given.threads)
    options = Options(given.points_per_side, pred_iou_thresh=0.0, stability_score_thresh=0.0, box_nms_thresh=0.7)
    pictures = tuple(str(path.resolve()) for path in given.pictures or own_pictures()[:1])
    base = Request(pictures, options, given.threads)
    asked = peers_request(base, read_manifest(given.bundles[0]).model.model, given.checkpoint)
    contestants = contestants_of(given.bundles, base, (), asked)
    record = run(given.bundles, contestants, plan, peer("upstream_everything", given.peer))
    given.out.mkdir(parents=True, exist_ok=True)
    encoded = msgspec.json.encode(asdict(record))
    (given.out / "interactive.json").write_bytes(msgspec.json.format(encoded, indent=1) + b"\n")
    (given.out / "interactive.md").write_text(markdown(record))
    sys.stdout.write(markdown(record))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("bundles", nargs="+", type=Path, metavar="BUNDLE", help="all of one model")
    parser.add_argument("--peer", type=Path, required=True, help="folder of upstream's environment, made once")
    parser.add_argument("--checkpoint", type=Path, help="what the bundles were made from, if not pinned")
    parser.add_argument("--pictures", nargs="+", type=Path, help="default: one of scikit-image's")
    parser.add_argument("--points-per-side", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--click-rounds", type=int, default=5, help="in each round")
    parser.add_argument("--box-rounds", type=int, default=2, help="in each round")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for interactive.md and interactive.json")
    return parser


if __name__ == "__main__":
    main()
