"""`sam-export bench BUNDLE...`: how fast bundles are on this machine, beside what a user would run instead."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from ..errors import RequestError
from ..search_record import SearchRecord, decode_records
from .arguments import given_path, require_folder, whole_number
from .printing import print_text
from .progress import stage_progress

ABSENT_STATUS = RequestError.exit_status
SEARCH_NAME = "search.json"
# Named here again: the peers' own table needs torch.
PEERS_EXPLAINED = (
    "what to compare with, beside `plain`, and steps between it and a bundle: plain_openvino, quantize_dynamic, "
    "nncf_default, step_exporter, step_folded, samexporter, optimum"
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `bench`; its `run` default is the handler, `(Namespace) -> exit status`."""
    parser = subparsers.add_parser(
        "bench",
        help="time bundles on this machine, beside what a user would run instead",
        description="Times bundles of one model turn by turn with the plain torch.onnx.export of the same weights, "
        "PyTorch, and peers: opening, encoder, decoder, clicks, everything mode, memory, size, with the accuracy "
        "beside every speed. Web bundles are timed in Chromium beside the plain export there. Writes bench.json, and "
        "bench.md and bench.html made from it. What was asked for and "
        "cannot be run here is listed with the reason, and the exit status is 2.",
    )
    parser.add_argument("bundles", metavar="BUNDLE", nargs="*", type=given_path, help="folders that sam-export wrote")
    parser.add_argument("--threads", type=whole_number, metavar="N", help="threads of each engine (default: all cores)")
    parser.add_argument(
        "--rounds", type=whole_number, default=15, metavar="N", help="rounds at most of each stage (default: 15)"
    )
    parser.add_argument("--peers", nargs="+", default=[], metavar="NAME", help=PEERS_EXPLAINED)
    parser.add_argument("--quick", action="store_true", help="a minute: few rounds, accuracy from the bundles alone")
    parser.add_argument("--checkpoint", type=given_path, metavar="FILE", help="the weights, if not the model's own")
    parser.add_argument(
        "--compare", nargs="+", type=given_path, metavar="RUN.json", help="compare runs of one machine, measure nothing"
    )
    parser.add_argument("-o", "--out", type=given_path, metavar="DIR", default=Path("bench"), help="(bench)")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    # Here and not above: `sam-export bench --help` needs no torch.
    if args.compare is not None:
        from ..benchmarks.compare_runs import compared
        from ..benchmarks.run_record import read_run

        if args.bundles:
            raise RequestError("--compare reads runs and measures nothing; give runs alone, or bundles alone")
        print_text(Console(), compared([(path, read_run(path)) for path in args.compare]))
        return 0
    return _measure(args)


def _measure(args: argparse.Namespace) -> int:
    from ..benchmarks.bench import BenchRequest, run_bench
    from ..benchmarks.bench_files import write_run
    from ..benchmarks.tables import summary
    from ..contract import EngineOptions

    require_folder(args.out)
    EngineOptions(threads=args.threads)  # raises if it is no number of threads
    request = BenchRequest(
        bundles=tuple(args.bundles),
        threads=args.threads,
        rounds=args.rounds,
        peers=tuple(args.peers),
        quick=args.quick,
        checkpoint=args.checkpoint,
    )
    with stage_progress(Console(stderr=True)) as progress:
        run = run_bench(request, progress, {path.resolve().name: _searches(path) for path in request.bundles})
    files = write_run(run, args.out)
    print_text(Console(), f"{summary(run)}\n{', '.join(str(file) for file in files)}")
    return ABSENT_STATUS if any(one.asked for one in run.absent) else 0


def _searches(bundle: Path) -> tuple[SearchRecord, ...]:
    """Return what the bundle says of the search for its quantization; nothing where there was none."""
    path = bundle / SEARCH_NAME
    return decode_records(path.read_bytes(), str(path)) if path.is_file() else ()
