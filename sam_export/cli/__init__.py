"""The command line: `sam-export MODEL --target T`, and one module per further command.

Parses, calls one function, prints. Every error of the project becomes one line and an exit status:
0 ok, 1 a gate failed, 2 bad request, 3 not verifiable on this machine, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version

from ..errors import RequestError, SamExportError
from . import export_command, inspect_command, models_command, segment_command, verify_command

COMMANDS = (export_command, models_command, inspect_command, verify_command, segment_command)
DEFAULT_COMMAND = "export"
INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """Raises instead of exiting, so that a wrong option reads like every other error."""

    def error(self, message: str) -> None:  # type: ignore[override]  # argparse says NoReturn: raising never returns
        raise RequestError(f"{message}; see `{self.prog} --help`")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; prints errors to stderr, never a traceback of our own errors."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        args = build_parser().parse_args(_with_command(words))
        status: int = args.run(args)
    except SamExportError as exc:
        print(f"sam-export: {exc}", file=sys.stderr)  # noqa: T201
        return exc.exit_status
    except KeyboardInterrupt:
        print("sam-export: interrupted; nothing half-written was left", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    return status


def build_parser() -> Parser:
    parser = Parser(
        prog="sam-export",
        description="Export Segment Anything models to ONNX, OpenVINO and Core ML, and prove that they still segment.",
        epilog="`sam-export MODEL --target T ...` is short for `sam-export export MODEL --target T ...`.",
    )
    parser.add_argument("--version", action="version", version=f"sam-export {version('sam-export')}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser


def _with_command(words: list[str]) -> list[str]:
    """Put the default command before anything that is neither a command nor a top-level option."""
    known = {"export", "models", "pull", "inspect", "verify", "segment", "-h", "--help", "--version"}
    if not words:
        return ["--help"]
    return words if words[0] in known else [DEFAULT_COMMAND, *words]
