"""`sam-export models` and `sam-export pull MODEL`: what can be exported, and fetching its weights."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from ..errors import RequestError
from ..models.cache import cached, pull
from ..models.catalog import DEFAULT_VARIANT, VARIANTS
from ..models.variants import Variant
from .arguments import given_path
from .printing import print_json, print_text
from .progress import stage_progress

INTERRUPTED = 130
"""What a shell expects of a program that Ctrl-C ended."""
FLOAT32_BYTES = 4
"""What a checkpoint whose size is not pinned holds for each parameter, more or less."""


@dataclass(frozen=True)
class ModelRow:
    """One variant as `models --json` gives it. `bytes` is the checkpoint's size, None where upstream states none."""

    name: str
    default: bool
    family: str
    description: str
    parameters: int
    license: str
    license_terms: str | None
    verified_against: str | None
    prompts: tuple[str, ...]
    source: str
    bytes: int | None
    cached: str | None


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `models` and `pull`; their `run` default is the handler, `(Namespace) -> exit status`."""
    listing = subparsers.add_parser(
        "models",
        help="list the models that can be exported, and which are cached",
        description="List every model: its size and licence, the prompts that it was trained on, where its weights "
        "come from, and whether they are here already.",
    )
    listing.add_argument("--json", action="store_true", help="print the list for machines")
    listing.add_argument(
        "--matrix", action="store_true", help="show family, target and precision, and how each was verified"
    )
    listing.add_argument(
        "--into",
        type=given_path,
        metavar="FILE",
        help="with --matrix: bring the table of a Markdown document up to date",
    )
    listing.set_defaults(run=_run_models)
    pulling = subparsers.add_parser(
        "pull",
        help="fetch a model's weights into the cache, and verify them",
        description="Fetch a model's weights, going on where an earlier attempt ended, and keep them if they are the "
        "right ones. Exporting does the same; SAM_EXPORT_CACHE moves the cache.",
    )
    pulling.add_argument("model", metavar="MODEL", help=f"one of {', '.join(VARIANTS)}")
    pulling.add_argument("--accept-license", action="store_true", help="where a model's licence has terms to accept")
    pulling.add_argument("--json", action="store_true", help="print the result for machines")
    pulling.set_defaults(run=_run_pull)


def _run_models(args: argparse.Namespace) -> int:
    if args.into is not None and not args.matrix:
        raise RequestError(f"--into {args.into} is for --matrix, which is not given; add it")
    if args.matrix:
        return list_support(Console(), as_json=args.json, into=args.into)
    return list_models(Console(), as_json=args.json)


def list_support(console: Console, *, as_json: bool = False, into: Path | None = None) -> int:
    """Print what can be exported and how it was verified, or write it into a document; always 0."""
    from ..support import support_table, write_into
    from .matrix import print_matrix

    if into is not None:
        write_into(into)
    elif as_json:
        print_json(console, support_table())
    else:
        print_matrix(support_table(), console)
    return 0


def _run_pull(args: argparse.Namespace) -> int:
    return pull_model(args.model, Console(), as_json=args.json, license_accepted=args.accept_license)


def model_rows() -> tuple[ModelRow, ...]:
    """Return every variant with what a person needs to choose one."""
    return tuple(_row(variant) for variant in VARIANTS.values())


def list_models(console: Console, *, as_json: bool = False) -> int:
    """Print all variants; always 0."""
    rows = model_rows()
    if as_json:
        print_json(console, rows)
        return 0
    unbroken = [Column(name, no_wrap=True) for name in ("model", "parameters", "checkpoint")]
    table = Table(*unbroken, "cached", "licence", "prompts", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*_cells(row))
    console.print(table)
    for row in rows:
        console.print(
            f"\n[bold]{row.name}[/bold] ({row.family})  {escape(row.description)}",
            f"  {escape(row.source)}",
            *_terms(row),
            sep="\n",
            soft_wrap=True,
        )
    console.print("\n* the default. `sam-export pull MODEL` fetches one.", highlight=False, markup=False)
    return 0


def pull_model(name: str, console: Console, *, as_json: bool = False, license_accepted: bool = False) -> int:
    """Fetch and verify one model's checkpoint with a progress bar, and print where it lies.

    Raises:
        RequestError: unknown model, or a licence whose terms were not accepted.
        CheckpointError: see `models.cache.pull`.
    """
    from ..models import find, require_licence

    variant = find(name)
    require_licence(variant, accepted=license_accepted)
    try:
        with stage_progress(Console(stderr=True)) as progress:
            path = pull(variant, progress)
    except KeyboardInterrupt:
        # The handler has the say over what was reached: a stack trace would hide that nothing is lost.
        console.print(
            f"{name}: interrupted; what arrived is kept, `sam-export pull {name}` goes on from there", markup=False
        )
        return INTERRUPTED
    if as_json:
        print_json(console, _row(variant))
    else:
        print_text(console, f"{name}: {path} ({path.stat().st_size / 1e6:.1f} MB, verified)")
    return 0


def _row(variant: Variant) -> ModelRow:
    path = cached(variant)
    return ModelRow(
        name=variant.name,
        default=variant.name == DEFAULT_VARIANT,
        family=variant.family,
        description=variant.description,
        parameters=variant.parameters,
        license=variant.license,
        license_terms=variant.license_terms,
        verified_against=variant.verified_against,
        prompts=variant.mask_rule.prompts,
        source=variant.source.address,
        bytes=path.stat().st_size if path else variant.checkpoint_bytes,
        cached=str(path) if path else None,
    )


def _cells(row: ModelRow) -> tuple[str, ...]:
    return (
        row.name + ("*" if row.default else ""),
        f"{row.parameters / 1e6:.1f} M",
        f"{row.bytes / 1e6:.1f} MB" if row.bytes else f"about {row.parameters * FLOAT32_BYTES / 1e6:.0f} MB",
        "yes" if row.cached else "no",
        row.license,
        ", ".join(row.prompts),
    )


def _terms(row: ModelRow) -> tuple[str, ...]:
    return () if row.license_terms is None else (f"  needs --accept-license: {escape(row.license_terms)}",)
