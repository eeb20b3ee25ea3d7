"""What README and the pages tell a reader to type: blocks of code, and the command lines in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[2]
PAGES = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "examples/README.md",
    ROOT / "runtimes/web/README.md",
    ROOT / "runtimes/web/demo/README.md",
    *sorted((ROOT / "docs").glob("*.md")),
)
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINE = re.compile(r"^(?:[A-Z_]+=\S+ )*(?:\S*/)?(?P<command>(?:sam-export|make|bash|pytest|python3?) .*)$", re.MULTILINE)
INCLUDED = "--8<--"


def blocks(text: str, language: str) -> tuple[str, ...]:
    """Return the blocks of code in a language; those that are included from a file, which tests run, are left out."""
    return tuple(dedent(code) for name, code in FENCE.findall(text) if name == language and INCLUDED not in code)


def command_lines(text: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of those lines of shell blocks whose program is known here, without environment and folder."""
    for block in blocks(text, "sh"):
        for found in LINE.finditer(block.replace("\\\n", " ")):
            yield tuple(shlex.split(found["command"], comments=True))


def inline_commands(text: str, program: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of what is quoted within sentences and begins with the program's name."""
    for quoted in INLINE.findall(FENCE.sub("", text)):
        words = shlex.split(quoted)
        if words[0] == program and len(words) > 1:
            yield tuple(words)
