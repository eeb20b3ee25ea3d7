"""`sam-export verify BUNDLE`: measure a bundle's own graphs again, on this machine, with the rules of the gate."""

from __future__ import annotations

import argparse
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..contract import ComponentName, Graph, Session
from ..errors import BundleError, MissingDependencyError, SelfTestError, UnsupportedError
from ..manifest import BundleVariant, Manifest, inside, read_manifest
from ..runtimes import try_bundle
from ..runtimes.bundle_reader import choose_variant
from ..verification import Failed, Limits, Measurement, Passed, Summary
from .arguments import given_path
from .inspect_command import truth_text
from .printing import print_json
from .progress import Progress, stage_progress

if TYPE_CHECKING:
    from ..verify.suite import Suite


@dataclass(frozen=True)
class VerifyRequest:
    """`pictures`: a folder of the user's own instead of the built-in set."""

    bundle: Path
    pictures: Path | None
    checkpoint: Path | None
    as_json: bool


@dataclass(frozen=True)
class VariantResult:
    """One variant of the bundle, as `--json` gives it."""

    variant: str
    passed: bool
    reasons: tuple[str, ...]
    limits: Limits
    measurement: Measurement


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `verify`; its `run` default is the handler, `(Namespace) -> exit status`."""
    parser = subparsers.add_parser(
        "verify",
        help="measure a bundle again, on this machine",
        description="Run a bundle's graphs against the PyTorch model of the same checkpoint, and hold them to the "
        "limits that the bundle names. Exit status 0: passed, 1: failed, 3: nothing here can run them.",
    )
    parser.add_argument("bundle", metavar="BUNDLE", type=given_path, help="a folder that sam-export wrote")
    parser.add_argument(
        "--pictures", metavar="DIR", type=given_path, help="your pictures to measure on, with ground truth if any"
    )
    parser.add_argument(
        "--checkpoint", metavar="FILE", type=given_path, help="the weights, if they were not the model's own"
    )
    parser.add_argument("--json", action="store_true", help="print every number for machines")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    return verify_bundle(VerifyRequest(args.bundle, args.pictures, args.checkpoint, args.json), Console())


def verify_bundle(request: VerifyRequest, console: Console) -> int:
    """Print what the bundle's graphs score here; 0 if every variant passes, else 1.

    Raises:
        BundleError: not a bundle, a damaged one, or one of other weights than the checkpoint's.
        CheckpointError, ImageError, GroundTruthError: the weights, pictures or ground truth cannot be had.
        NotVerifiableError, UnsupportedError: nothing here runs the graphs, or no prompt is stable.
    """
    manifest = read_manifest(request.bundle)
    with suppress(SelfTestError, UnsupportedError, MissingDependencyError):  # measured below, or said in its words
        try_bundle(request.bundle)
    with stage_progress(Console(stderr=True)) as progress:
        results = measure(request, manifest, progress)
    if request.as_json:
        print_json(console, results)
    else:
        for result in results:
            _print(request.bundle, result, console)
    return 0 if all(result.passed for result in results) else 1


def measure(request: VerifyRequest, manifest: Manifest, progress: Progress | None) -> tuple[VariantResult, ...]:
    """Return the verdict on every variant of the bundle."""
    # Here and not above: `sam-export verify --help` needs no torch.
    from ..models import load, untrained
    from ..verify.ground_truth_folder import evaluation_pictures
    from ..verify.pictures import picture_set
    from ..verify.suite import build_suite

    name, seed = manifest.model.model, manifest.model.seed
    if seed is not None and request.checkpoint is None:
        model = untrained(name, seed)
    else:
        model = load(name, request.checkpoint, progress)
    if model.checkpoint_sha256 != manifest.model.checkpoint_sha256:
        raise BundleError(
            f"{request.bundle}: made from a checkpoint of sha256 {manifest.model.checkpoint_sha256[:12]}…, compared "
            f"with one of {model.checkpoint_sha256[:12]}…; give the right one with --checkpoint"
        )
    pictures = evaluation_pictures(request.pictures) if request.pictures else picture_set("gate")
    suite = build_suite(model, pictures, fewer_if_slow=request.pictures is None, progress=progress)
    return tuple(_verified(request.bundle, manifest, variant, suite, progress) for variant in manifest.variants)


def _verified(
    bundle: Path, manifest: Manifest, variant: BundleVariant, suite: Suite, progress: Progress | None
) -> VariantResult:
    from ..verify.evaluators import evaluation_notes, evaluation_session
    from ..verify.gate import verify
    from ..verify.lanes import lanes_here

    choose_variant(bundle, manifest, variant.name)
    sessions: dict[ComponentName, Session] = {}
    notes: list[str] = []
    evaluated_by = ""
    for entry in variant.graphs.values():
        path = inside(bundle, entry.open_path)
        files = tuple(str(inside(bundle, file.path).relative_to(path.parent)) for file in entry.files)
        graph = Graph(entry.contract, manifest.target, entry.recipe, path, files)
        session, evaluated_by = evaluation_session(graph, lanes=lanes_here())
        sessions[entry.contract.component] = session
        notes += evaluation_notes(graph, session)
    limits = variant.accuracy.limits
    verdict = verify(sessions, suite, limits, evaluated_by=evaluated_by, notes=tuple(notes), progress=progress)
    reasons = verdict.reasons if isinstance(verdict, Failed) else ()
    return VariantResult(variant.name, isinstance(verdict, Passed), reasons, limits, verdict.measurement)


def _print(bundle: Path, result: VariantResult, console: Console) -> None:
    found, limits = result.measurement, result.limits
    table = Table(box=None, pad_edge=False)
    for column in ("prompts", "count", "mean", "p5", "worst", "boundary", "same mask", "logit SNR"):
        table.add_column(column, justify="left" if column == "prompts" else "right")
    for name, summary in (("gated", found.stable), ("harsh", found.harsh), ("logits only", found.parity)):
        if summary is not None:
            table.add_row(name, *_cells(summary))
    table.add_row(
        "limits", "", f"{limits.mean_iou:g}", "", f"{limits.worst_iou:g}", "", "", f"{limits.logit_snr_db:g} dB"
    )
    console.print(Text(f"{bundle} variant {result.variant}, measured with {found.evaluated_by}"))
    console.print(table)
    console.print(Text(f"embeddings: least SNR {min(score.snr_db for score in found.tensors):.1f} dB"))
    for truth in found.truth:
        console.print(Text(truth_text(truth)))
    for note in found.notes:
        console.print(Text(f"note: {note}"))
    verdict = "passed" + (" (limits lowered by whoever made it)" if limits.lowered_by_user else "")
    console.print(Text(verdict if result.passed else "failed: " + "; ".join(result.reasons)))


def _cells(summary: Summary) -> tuple[str, ...]:
    ious = (summary.mean_iou, summary.p5_iou, summary.worst_iou, summary.mean_boundary_iou)
    return (
        str(summary.count),
        *(f"{iou:.4f}" for iou in ious),
        f"{summary.index_agreement:.1%}",
        f"{summary.min_logit_snr_db:.1f} dB",
    )
