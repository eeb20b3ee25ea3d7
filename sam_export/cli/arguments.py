"""What one value on the command line may be. argparse puts the option's name before each of these errors."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import OutputError


def given_path(text: str) -> Path:
    """Return the path. An empty one is mostly a shell variable that is not set, and would mean the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; give a path")
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not UTF-8, which neither JSON nor a bundle can name; rename it"
        ) from exc
    return Path(text)


def given_text(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("is empty; give a value, or leave the option out")
    return text


def whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from exc


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{text!r} is no number; write a fraction as 0.99") from exc


def require_folder(out: Path) -> None:
    """Raise unless the path is a folder, or can become one.

    Raises:
        OutputError: it is a file, or lies below one.
    """
    above = next((folder for folder in out.parents if folder.exists()), out)
    if not above.is_dir():
        raise OutputError(f"{out}: {above} is a file, not a folder; give another -o")
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: is a file; give a folder as -o")
