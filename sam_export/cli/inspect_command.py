"""`sam-export inspect BUNDLE`: what a bundle holds and what was proved of it; several: a line each. Opens no engine
but with `--try`, which does so in a process of its own."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..contract import GraphContract, MaskRule, Preprocessing, Recipe, TensorSpec
from ..errors import RequestError
from ..manifest import BundleVariant, GraphEntry, Manifest, encode_manifest, read_manifest
from ..runtimes import try_bundle
from ..verification import Summary, TruthSummary
from .arguments import given_path
from .printing import print_text


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `inspect`; its `run` default is the handler, `(Namespace) -> exit status`."""
    parser = subparsers.add_parser(
        "inspect",
        help="show what a bundle holds, and check every hash",
        description="Check the size and sha256 of every file, then show the graphs, how pictures and prompts are "
        "prepared, and what the gate measured. Opens no engine.",
    )
    parser.add_argument(
        "bundles",
        metavar="BUNDLE",
        nargs="+",
        type=given_path,
        help="a folder that sam-export wrote; several are compared, one line each",
    )
    parser.add_argument(
        "--try", action="store_true", dest="tried", help="open each in a process of its own first, for a stranger's"
    )
    parser.add_argument("--json", action="store_true", help="print the manifest for machines, once every hash is right")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    for bundle in args.bundles if args.tried else ():
        try_bundle(bundle)
    if len(args.bundles) == 1:
        return inspect_bundle(args.bundles[0], Console(), as_json=args.json)
    if args.json:
        raise RequestError(f"--json prints one manifest, given were {len(args.bundles)} bundles; give one at a time")
    return compare_bundles(tuple(args.bundles), Console())


def compare_bundles(bundles: tuple[Path, ...], console: Console) -> int:
    """Print a line for each bundle: how good and how large; always 0.

    Raises:
        BundleError: one is no bundle, or has a missing or changed file.
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("bundle", overflow="fold")
    for name in ("mean IoU", "worst", "MB"):
        table.add_column(name, justify="right", no_wrap=True)
    for bundle in bundles:
        for variant in read_manifest(bundle).variants:
            table.add_row(Text(str(bundle)), *_comparison(variant))
    console.print(table)
    return 0


def _comparison(variant: BundleVariant) -> tuple[str, str, str]:
    stable = variant.accuracy.stable
    size = sum(file.bytes for graph in variant.graphs.values() for file in graph.files)
    if stable is None:
        return "", "", f"{size / 1e6:.1f}"
    return _rounded_down(stable.mean_iou), _rounded_down(stable.worst_iou), f"{size / 1e6:.1f}"


def _rounded_down(iou: float) -> str:
    """1.0000 means equal, not nearly equal."""
    return f"{math.floor(iou * 1e4 + 1e-9) / 1e4:.4f}"


def inspect_bundle(bundle: Path, console: Console, *, as_json: bool = False) -> int:
    """Print the bundle's manifest; always 0.

    Raises:
        BundleError: not a bundle, or one with a missing or changed file.
    """
    manifest = read_manifest(bundle)
    if as_json:
        print_text(console, encode_manifest(manifest).decode().rstrip())
        return 0
    console.print(_facts(bundle, manifest))
    for variant in manifest.variants:
        console.print()
        console.print(
            Text(f"variant {variant.name}", style="bold"), Text(f"for {', '.join(variant.devices) or 'any device'}")
        )
        console.print(_graphs(variant))
        console.print(_accuracy(variant))
    return 0


def _grid() -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _add(table: Table, name: str, value: str) -> None:
    """Add a row whose value is text, never markup: manifests come from strangers."""
    table.add_row(name, Text(value))


def _facts(bundle: Path, manifest: Manifest) -> Table:
    table, card = _grid(), manifest.model
    files = list(manifest.files())
    _add(table, "bundle", str(bundle))
    _add(table, "model", f"{card.model} ({card.family})")
    _add(table, "licence", card.license)
    _add(table, "weights", f"{card.source}, sha256 {card.checkpoint_sha256}")
    _add(table, "target", f"{manifest.target}, {manifest.precision}")
    _add(table, "picture", _preprocessing_text(manifest.preprocessing))
    _add(table, "answers", _mask_rule_text(manifest.mask_rule))
    _add(
        table, "files", f"{len(files)}, {_megabytes(sum(file.bytes for file in files))}; every size and sha256 is right"
    )
    _add(table, "self-test", f"{len(manifest.selftest.cases)} prompts, IoU at least {manifest.selftest.min_iou:g}")
    _add(
        table,
        "made",
        f"{manifest.created} with {', '.join(f'{name} {version}' for name, version in manifest.tools.items())}",
    )
    return table


def _preprocessing_text(pre: Preprocessing) -> str:
    height, width = pre.image_hw
    fitted = f"{height}x{width} {pre.fit}, {pre.filter}, padded with the {pre.padding}"
    return f"{fitted}; {pre.normalisation.kind} inside the graph"


def _mask_rule_text(rule: MaskRule) -> str:
    masks = f"{len(rule.multimask_tokens)} masks or one" if rule.multimask_tokens else "one mask"
    return f"{', '.join(rule.prompts)}; {masks}; low-res masks {rule.mask_hw[0]}x{rule.mask_hw[1]}"


def _graphs(variant: BundleVariant) -> Table:
    table = _grid()
    for name, graph in variant.graphs.items():
        _add(
            table,
            name,
            f"{graph.open_path}, {_megabytes(sum(file.bytes for file in graph.files))}, {_recipe_text(graph.recipe)}",
        )
        for layer in graph.recipe.layers:
            _add(table, "", f"{layer.pattern}: {layer.precision}, {layer.reason}")
        for note in graph.recipe.notes:
            _add(table, "", note)
        _add(table, "", _contract_text(graph.contract))
        _add(table, "", _hash_text(graph))
    return table


def _recipe_text(recipe: Recipe) -> str:
    return f"{recipe.precision} (stored in {recipe.storage}, computed in {recipe.compute})"


def _contract_text(contract: GraphContract) -> str:
    inputs, outputs = ("; ".join(map(_tensor_text, side)) for side in (contract.inputs, contract.outputs))
    return f"{inputs} -> {outputs}"


def _tensor_text(spec: TensorSpec) -> str:
    return f"{spec.name} [{', '.join(map(str, spec.shape))}]"


def _hash_text(graph: GraphEntry) -> str:
    return "; ".join(f"{Path(file.path).name} sha256 {file.sha256[:16]}" for file in graph.files)


def _accuracy(variant: BundleVariant) -> Table:
    table, accuracy = _grid(), variant.accuracy
    limits = accuracy.limits
    _add(table, "verified by", f"{accuracy.evaluated_by}, suite {accuracy.suite_sha256[:16]}")
    stable = f"mean at least {limits.mean_iou:g}, worst at least {limits.worst_iou:g}"
    stable += f", iou_predictions within {limits.iou_prediction_error:g}"
    _add(table, "limits", stable + (" (lowered by the user)" if limits.lowered_by_user else ""))
    if accuracy.stable is not None:
        _add(table, "masks", _summary_text(accuracy.stable))
        _add(table, "worst case", f"{accuracy.stable.worst_prompt} on {accuracy.stable.worst_picture}")
    if accuracy.harsh is not None:
        _add(table, "harsh prompts", f"{_summary_text(accuracy.harsh)} (reported, no limit)")
    if accuracy.parity is not None:
        _add(
            table,
            "other prompts",
            f"logits {accuracy.parity.min_logit_snr_db:.1f} dB, at least {limits.logit_snr_db:g}",
        )
    for truth in accuracy.truth:
        _add(table, "ground truth", f"{truth_text(truth)} (reported, no limit)")
    _add(table, "embeddings", f"{accuracy.min_embedding_snr_db:.1f} dB at least")
    for note in accuracy.notes if accuracy.weights_trained else ("weights are random", *accuracy.notes):
        _add(table, "note", note)
    return table


def _summary_text(summary: Summary) -> str:
    return (
        f"IoU mean {summary.mean_iou:.4f}, p5 {summary.p5_iou:.4f}, worst {summary.worst_iou:.4f} "
        f"({summary.count} prompts, {summary.pictures} pictures)"
    )


def truth_text(truth: TruthSummary) -> str:
    ious = f"mIoU {truth.reference_miou:.4f} PyTorch, {truth.candidate_miou:.4f} exported"
    return f"{truth.kind}: {ious}, loss {truth.loss_points:.2f} points ({truth.count} objects)"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
