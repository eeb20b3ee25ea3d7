"""What a person is told who mistyped: one line that says what is wrong and what comes closest."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

from ..errors import RequestError
from .words import OPTION

# What argparse says, and what reads better here; the rest of its sentences are fine.
PHRASES = (
    ("expected one argument", "needs a value"),
    ("expected at least one argument", "needs at least one value"),
    ("ignored explicit argument", "takes no value, given"),
    ("argument ", ""),
)
NUMBER = re.compile(r"-?[\d.,]+")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def error_line(error: object) -> str:
    """Return the error as one line; a line break or an escape code in the name of a file is spelled out."""
    return "sam-export: " + CONTROL.sub(lambda found: repr(found[0])[1:-1], str(error))


def reworded(message: str) -> str:
    """Return a sentence of argparse's in our words."""
    for theirs, ours in PHRASES:
        message = message.replace(theirs, ours)
    return message


def closest(word: str, names: Iterable[str]) -> str | None:
    """Return the name that a mistyped word comes closest to, None if it is like none."""
    return next(iter(difflib.get_close_matches(word.lower(), tuple(names), n=1)), None)


def unknown_word(word: str, commands: Iterable[str], models: Iterable[str]) -> RequestError:
    """Return what to say of a first word that is neither a command nor a model."""
    known = {"command": tuple(commands), "model": tuple(models)}
    matches = {kind: closest(word, names) for kind, names in known.items()}
    meant = " or ".join(f"the {kind} {name}" for kind, name in matches.items() if name)
    lists = "; ".join(f"{kind}s: {', '.join(names)}" for kind, names in known.items())
    way_out = f"did you mean {meant}? see" if meant else f"{lists}; see"
    return RequestError(f"{word!r} is neither a command nor a model; {way_out} `sam-export --help`")


def left_over(command: str, words: Sequence[str], help_text: str) -> RequestError:
    """Return what to say of words that a command has no use for. `help_text` names all of its options."""
    see = f"see `sam-export {command} --help`"
    option = next((word.partition("=")[0] for word in words if word.startswith("-")), None)
    if option is not None:
        match = closest(option, OPTION.findall(help_text))
        question = f"did you mean {match}? " if match else ""
        return RequestError(f"{command}: there is no option {option}; {question}{see}")
    given = " ".join(words)
    if all(NUMBER.fullmatch(word) for word in words) and "--box" in help_text:
        return RequestError(f"{command}: {given!r} stands alone; join numbers with commas: --box 10,20,300,400; {see}")
    return RequestError(f"{command}: takes no further word, given {given!r}; {see}")
