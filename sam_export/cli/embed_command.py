"""`sam-export embed BUNDLE IMAGES...`: pictures encoded to `.semb` files, for a decoder elsewhere to answer on."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ..contract import EngineOptions, EngineReport
from ..errors import ImageError, RequestError
from ..runtimes import open_bundle
from ..runtimes.bulk_embedding import EmbeddedPicture, EmbeddingJob, FailedPicture, Outcome, embed_pictures
from ..runtimes.embedding_file import SUFFIX
from ..runtimes.embedding_tensors import DTYPES, EmbeddingDtype
from ..runtimes.ray_embedding import LOCAL, Cluster, embed_on_ray
from ..runtimes.segmenter import Segmenter
from .arguments import given_path, given_text, require_folder, whole_number
from .picture_files import FailedRow, picture_files
from .printing import print_json, print_text
from .progress import stage_progress


@dataclass(frozen=True)
class EmbedRequest:
    bundle: Path
    images: tuple[Path, ...]
    out: Path
    dtype: EmbeddingDtype
    as_json: bool
    options: EngineOptions
    cluster: Cluster | None = None


@dataclass(frozen=True)
class EmbedRow:
    """One picture as `embed --json` gives it. `earlier`: an earlier run had written the file."""

    picture: str
    embedding: str
    bytes: int
    earlier: bool


@dataclass(frozen=True)
class EmbedResult:
    out: str
    dtype: str
    seconds: float
    pictures: tuple[EmbedRow, ...]
    failed: tuple[FailedRow, ...]
    engines: dict[str, EngineReport]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `embed`; its `run` default is the handler, `(Namespace) -> exit status`."""
    parser = subparsers.add_parser(
        "embed",
        help="encode pictures to .semb files",
        description="Encodes every picture once, for a decoder of the same checkpoint to answer on, here or elsewhere. "
        "A run that was stopped is run again: files that fit are kept. A picture that cannot be read is listed, and "
        "the rest goes on.",
    )
    parser.add_argument("bundle", metavar="BUNDLE", type=given_path, help="a folder that sam-export wrote")
    parser.add_argument(
        "images", metavar="IMAGE", nargs="+", type=given_path, help="pictures, folders of them, or globs"
    )
    parser.add_argument("-o", "--out", metavar="DIR", type=given_path, required=True, help="folder to write")
    parser.add_argument(
        "--dtype", choices=tuple(DTYPES), default="fp16", help="how features are stored (default: %(default)s)"
    )
    parser.add_argument("--threads", type=whole_number, metavar="N", help="threads of the engine")
    parser.add_argument(
        "--provider",
        type=given_text,
        metavar="NAME",
        help="ONNX Runtime provider, OpenVINO device or Core ML compute unit",
    )
    parser.add_argument(
        "--ray",
        nargs="?",
        const=LOCAL,
        type=given_text,
        metavar="ADDRESS",
        help="run on a Ray cluster that sees the same paths (without ADDRESS: on a Ray of this machine)",
    )
    parser.add_argument(
        "--workers", type=whole_number, metavar="N", help="with --ray: pictures at once (default: cores / threads)"
    )
    parser.add_argument("--json", action="store_true", help="print the result for machines")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    if args.workers is not None and (args.ray is None or args.workers < 1):
        raise RequestError(f"--workers {args.workers}: how many work on a Ray cluster, 1 or more; give it with --ray")
    request = EmbedRequest(
        bundle=args.bundle,
        images=tuple(args.images),
        out=args.out,
        dtype=args.dtype,
        as_json=args.json,
        options=EngineOptions(threads=args.threads, provider=args.provider),
        cluster=None if args.ray is None else Cluster(args.ray, args.workers),
    )
    return embed(request, Console(), Console(stderr=True))


def embed(request: EmbedRequest, console: Console, errors: Console) -> int:
    """Write `<out>/<name of the picture>.semb` for every picture and print a summary; 2 if any cannot be used.

    Raises:
        OutputError: the folder cannot be written, or the disk is full; what was written stays.
        BundleError, ImageError, RequestError: a bad bundle or no pictures; nothing is written.
    """
    require_folder(request.out)
    pictures = picture_files(request.images, without=request.out)
    segmenter = open_bundle(request.bundle, options=request.options)
    jobs = [EmbeddingJob(picture.path, request.out / f"{picture.name}{SUFFIX}") for picture in pictures]
    started = time.perf_counter()
    with stage_progress(errors) as progress:
        outcomes = _outcomes(request, segmenter, jobs, lambda done, total: progress("pictures", done, total))
    result = _result(request, outcomes, time.perf_counter() - started, segmenter.reports)
    _print(result, console, as_json=request.as_json)
    return ImageError.exit_status if result.failed else 0


def _outcomes(
    request: EmbedRequest, segmenter: Segmenter, jobs: Sequence[EmbeddingJob], progress: Callable[[int, int], None]
) -> tuple[Outcome, ...]:
    if request.cluster is None:
        return embed_pictures(segmenter, jobs, request.dtype, progress)
    return embed_on_ray(request.bundle, jobs, request.dtype, request.options, request.cluster, progress)


def _result(
    request: EmbedRequest, outcomes: tuple[Outcome, ...], seconds: float, engines: dict[str, EngineReport]
) -> EmbedResult:
    return EmbedResult(
        str(request.out),
        request.dtype,
        seconds,
        tuple(
            EmbedRow(str(one.job.picture), str(one.job.embedding), one.bytes, one.earlier)
            for one in outcomes
            if isinstance(one, EmbeddedPicture)
        ),
        tuple(FailedRow(str(one.job.picture), one.error) for one in outcomes if isinstance(one, FailedPicture)),
        engines,
    )


def _print(result: EmbedResult, console: Console, *, as_json: bool) -> None:
    if as_json:
        print_json(console, result)
    else:
        earlier = sum(row.earlier for row in result.pictures)
        size = sum(row.bytes for row in result.pictures) / 1e6
        text = (
            f"{result.out}: {len(result.pictures) - earlier} encoded, {earlier} kept from an earlier run, "
            f"{len(result.failed)} failed; {size:.1f} MB as {result.dtype}, {result.seconds:.1f} s"
        )
        text = "\n".join([text, *(f"  failed: {row.error}" for row in result.failed)])
        print_text(console, text)
