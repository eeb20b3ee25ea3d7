"""What one value on the command line may be. argparse puts the option's name before each of these errors."""

from __future__ import annotations

import argparse
from pathlib import Path


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
