"""The command line: `sam-export MODEL --target T`, and one module per further command.

Parses, calls one function, prints. A command's module is imported when it is called, so that `segment` needs no
torch. Every error of the project becomes one line and an exit status: 0 ok, 1 a gate failed, 2 bad request,
3 not verifiable on this machine, 130 interrupted, 143 terminated.
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
from ..held import process_folder
from ..memory import keep_freed_memory, memory_errors
from .mistakes import closest, error_line, left_over, reworded, unknown_word
from .termination import TERMINATED, Terminated, raising_terminated
from .words import with_negative_numbers

COMMANDS: Mapping[str, str] = {
    "export": "export_command",
    "models": "models_command",
    "pull": "models_command",
    "inspect": "inspect_command",
    "verify": "verify_command",
    "segment": "segment_command",
    "embed": "embed_command",
    "serve": "serve_command",
    "ablate": "ablate_command",
    "bench": "bench_command",
}
DEFAULT_COMMAND = "export"
INTERRUPTED = 130
HELP = """usage: sam-export [MODEL] --target {onnx,openvino,coreml,web,triton} [...] [-o DIR]
       sam-export COMMAND ...

Export Segment Anything models to ONNX, OpenVINO and Core ML, and prove that they still segment.

commands:
  export    export a model, pass the gate, write bundles (the default command; `sam-export export --help`)
  models    list the models that can be exported, and which are cached
  pull      fetch a model's weights into the cache, and verify them
  inspect   show what is in a bundle, and how well it did
  verify    measure a bundle again, on this machine
  segment   segment pictures with a bundle
  embed     encode pictures to .semb files, for a decoder elsewhere
  serve     serve a bundle over HTTP: encode pictures, answer prompts
  ablate    show what each technique of int8 brings
  bench     time bundles on this machine, beside what a user would run instead

examples:
  sam-export lite_medsam --target onnx -o dist/
  sam-export inspect dist/lite_medsam-onnx-fp32
  sam-export segment dist/lite_medsam-onnx-fp32 picture.jpg --box 65,5,340,500 -o out/

`sam-export COMMAND --help` explains one; `sam-export --version` prints the version.
"""


class Parser(argparse.ArgumentParser):
    """Raises instead of exiting, so that a wrong option reads like every other error; takes no shortened options."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        raise RequestError(f"{reworded(message)}; see `{self.prog} --help`")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; our own errors end as one line on stderr."""
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a path may hold what the terminal cannot show
    text = _text_asked_for(words)
    if text is not None:
        sys.stdout.write(text)
        return 0
    keep_freed_memory()
    try:
        with raising_terminated(), process_folder(), memory_errors():
            return run(words)
    except SamExportError as exc:
        sys.stderr.write(f"{error_line(exc)}\n")
        return exc.exit_status
    except BrokenPipeError:
        # Whoever read the output has seen enough. Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as exc:
        # A path that no command foresaw: a name too long, a disk that went away. Without a name it is a bug of ours.
        if exc.filename is None:
            raise
        sys.stderr.write(f"{error_line(f'{exc.filename}: {exc.strerror}; give another path, or mend this one')}\n")
        return RequestError.exit_status
    except (KeyboardInterrupt, Terminated) as exc:
        how, status = ("terminated", TERMINATED) if isinstance(exc, Terminated) else ("interrupted", INTERRUPTED)
        sys.stderr.write(f"sam-export: {how}; nothing half-written was left\n")
        return status


def _text_asked_for(words: Sequence[str]) -> str | None:
    """Return the help or the version, if that is all that the words ask for."""
    if not words or words[0] in {"-h", "--help"} or list(words) == ["help"]:
        return HELP
    return f"sam-export {version('sam-export')}\n" if words[0] in {"-V", "--version", "version"} else None


def run(words: Sequence[str]) -> int:
    """Return the exit status of the command that the words ask for; without one, they are of `export`."""
    if words[0] == "help":
        words = [words[1], "--help"]
    try:
        args = parse(words)
        status: int = args.run(args)
    except ModuleNotFoundError as exc:
        # Those who only run bundles have no torch; a module of our own that is missing is a bug.
        if exc.name is None or exc.name.startswith("sam_export"):
            raise
        raise MissingDependencyError(
            f"`sam-export {_command(words)}` needs the package {exc.name}, which is missing;"
            " pip install 'sam-export[all]'"
        ) from exc
    return status


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Return what the words ask for, without doing it; `run` of the result does, and returns the exit status.

    Raises:
        RequestError: neither a command nor a model, an unknown option, or a value that an option cannot have.
    """
    command = _command(words)
    parser = Parser(prog="sam-export")
    subparsers = parser.add_subparsers(required=True)
    if words[0] != command and not words[0].startswith("-"):
        _require_model(words[0])
    importlib.import_module(f".{COMMANDS[command]}", __name__).add_parser(subparsers)
    full = words if words[0] == command else [DEFAULT_COMMAND, *words]
    args, unused = parser.parse_known_args(with_negative_numbers(full))
    if unused:
        raise left_over(command, unused, subparsers.choices[command].format_help())
    return args


def _command(words: Sequence[str]) -> str:
    return words[0] if words[0] in COMMANDS else DEFAULT_COMMAND


def _require_model(word: str) -> None:
    """Raise unless the first word, which is no command, names a model."""
    try:
        from ..models import VARIANTS, published_name
    except ModuleNotFoundError:
        # Which models there are is not known here, but a mistyped command can still be told.
        if closest(word, COMMANDS) is None:
            raise
        raise unknown_word(word, COMMANDS, ()) from None
    if published_name(word) not in VARIANTS:
        raise unknown_word(word, COMMANDS, VARIANTS)
