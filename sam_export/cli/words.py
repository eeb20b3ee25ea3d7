"""The words of a command line as they are before argparse reads them."""

from __future__ import annotations

import re
from collections.abc import Sequence

OPTION = re.compile(r"--[a-z][a-z-]*")
NEGATIVE_NUMBER = re.compile(r"-\.?\d")


def with_negative_numbers(words: Sequence[str]) -> list[str]:
    """Return the words with a value that starts like a negative number tied to its option.

        --box -5,10,20,30   ->   --box=-5,10,20,30

    argparse would take such a value for an option of its own, since more than one number follows the minus.
    """
    tied: list[str] = []
    for index, word in enumerate(words):
        if word == "--":
            return [*tied, *words[index:]]
        if tied and NEGATIVE_NUMBER.match(word) and OPTION.fullmatch(words[index - 1]):
            tied[-1] += f"={word}"
        else:
            tied.append(word)
    return tied
