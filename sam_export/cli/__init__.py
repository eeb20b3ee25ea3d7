"""The command line: `sam-export MODEL --target T`, and one module per further command.

Parses, calls one function, prints. A command's module is imported when it is called, so that `segment` needs no
torch. Every error of the project becomes one line and an exit status: 0 ok, 1 a gate failed, 2 bad request,
3 not verifiable on this machine, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, NoReturn

from ..errors import MissingDependencyError, RequestError, SamExportError

COMMANDS: Mapping[str, str] = {
    "export": "export_command",
    "models": "models_command",
    "pull": "models_command",
    "inspect": "inspect_command",
    "verify": "verify_command",
    "segment": "segment_command",
}
DEFAULT_COMMAND = "export"
INTERRUPTED = 130
HELP = """usage: sam-export [MODEL] --target {onnx,openvino,coreml} [...] [-o DIR]
       sam-export COMMAND ...

Export Segment Anything models to ONNX, OpenVINO and Core ML, and prove that they still segment.

commands:
  export    export a model, pass the gate, write bundles (the default command; `sam-export export --help`)
  models    list the models that can be exported, and which are cached
  pull      fetch a model's weights into the cache, and verify them
  inspect   show what is in a bundle, and how well it did
  verify    measure a bundle again, on this machine
  segment   segment a picture with a bundle

`sam-export COMMAND --help` explains one; `sam-export --version` prints the version.
"""


class Parser(argparse.ArgumentParser):
    """Raises instead of exiting, so that a wrong option reads like every other error; takes no shortened options."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        raise RequestError(f"{message}; see `{self.prog} --help`")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; our own errors end as one line on stderr."""
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a path may hold what the terminal cannot show
    if not words or words[0] in {"-h", "--help", "help"}:
        sys.stdout.write(HELP)
        return 0
    if words[0] == "--version":
        sys.stdout.write(f"sam-export {version('sam-export')}\n")
        return 0
    try:
        return run(words)
    except SamExportError as exc:
        sys.stderr.write(f"sam-export: {exc}\n")
        return exc.exit_status
    except BrokenPipeError:
        # Whoever read the output has seen enough. Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        sys.stderr.write("sam-export: interrupted; nothing half-written was left\n")
        return INTERRUPTED


def run(words: Sequence[str]) -> int:
    """Return the exit status of the command that the words ask for; without one, they are of `export`."""
    command = words[0] if words[0] in COMMANDS else DEFAULT_COMMAND
    parser = Parser(prog="sam-export")
    try:
        importlib.import_module(f".{COMMANDS[command]}", __name__).add_parser(parser.add_subparsers(required=True))
        args = parser.parse_args(words if words[0] == command else [DEFAULT_COMMAND, *words])
        status: int = args.run(args)
    except ModuleNotFoundError as exc:
        # Those who only run bundles have no torch; a module of our own that is missing is a bug.
        if exc.name is None or exc.name.startswith("sam_export"):
            raise
        raise MissingDependencyError(
            f"`sam-export {command}` needs the package {exc.name}, which is missing; pip install 'sam-export[all]'"
        ) from exc
    return status
