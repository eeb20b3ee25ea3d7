"""How the report and the tables print numbers and names: never better than measured, never as markup.

Scores are rounded down and errors up, so that a printed number cannot pass a limit that its value fails.
"""

from __future__ import annotations

import math
import unicodedata

from .metrics import SNR_CAP_DB

# Guards the floor against 0.9995 * 1e4 = 9994.999...; far below any printed digit.
_ROUNDING_SLACK = 1e-9


def format_iou(value: float) -> str:
    """Return an IoU with four decimals, rounded down: 1.0000 means equal, not nearly equal."""
    if not math.isfinite(value):
        return "not a number"
    return f"{math.floor(value * 1e4 + _ROUNDING_SLACK) / 1e4:.4f}"


def format_error(value: float) -> str:
    """Return an absolute error with four decimals, rounded up."""
    if not math.isfinite(value):
        return "not a number"
    return f"{math.ceil(value * 1e4 - _ROUNDING_SLACK) / 1e4:.4f}"


def format_points(value: float) -> str:
    """Return a loss in points with two decimals, rounded up; below 0 it is a gain."""
    if not math.isfinite(value):
        return "not a number"
    # Adding 0 turns the -0 of a gain too small to print into 0.
    return f"{math.ceil(value * 1e2 - _ROUNDING_SLACK) / 1e2 + 0:.2f}"


def format_snr(value: float) -> str:
    """Return a signal to noise ratio in dB, rounded down; at its cap the values are equal, or not numbers at all."""
    if math.isnan(value) or value <= -SNR_CAP_DB:
        return "not a number"
    if value >= SNR_CAP_DB:
        return "exact"
    return f"{math.floor(value * 10 + _ROUNDING_SLACK) / 10:.1f} dB"


def format_share(value: float) -> str:
    """Return a share of 0..1 in percent, rounded down."""
    if not math.isfinite(value):
        return "not a number"
    return f"{math.floor(value * 1e3 + _ROUNDING_SLACK) / 10:.1f} %"


def format_bytes(count: int) -> str:
    """Return a size in MB (10^6 bytes), or kB below one."""
    return f"{count / 1e6:.1f} MB" if count >= 1_000_000 else f"{count / 1e3:.1f} kB"


def printable(text: str) -> str:
    """Return `text` with control, bidirectional-override and surrogate characters replaced by U+FFFD.

    Names of files may hold any of them: they could reverse a line, or make the page impossible to encode.
    """
    return "".join("\ufffd" if unicodedata.category(char) in ("Cc", "Cf", "Cs") else char for char in text)
