"""Killing commands at random moments, and running them again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...manifest import MANIFEST_NAME
from .commands import Command, Stock, broken, content, differences, leftovers, placed, searched
from .run import Ended, Place, orphans, run

UNDISTURBED = 2
# For each kill that is to land.
MOST_DRAWS = 5
# How the error ends that refuses to write what is there already.
EXISTS = "give --overwrite to replace it, or another -o"


@dataclass(frozen=True)
class Undisturbed:
    """What a command takes, in seconds, and leaves, if nothing happens to it. `complaints`: what is wrong even then."""

    seconds: float
    content: Mapping[str, str]
    complaints: tuple[str, ...]


@dataclass(frozen=True)
class Try:
    """One kill, `share` of the way through. `landed`: the command was still running then. `complaints`: what is not as
    it must be, of the moment after the kill or of the run after it."""

    command: str
    share: float
    landed: bool
    complaints: tuple[str, ...]


@dataclass(frozen=True)
class KillRow:
    """All kills of a command that landed while it ran, and how many survived. `late`: kills that found it at its end
    already; they are drawn anew, but what they find has to be right, too."""

    command: str
    seconds: float
    landed: int
    survived: int
    late: int
    complaints: tuple[str, ...]


def killed(command: Command, kills: int, stock: Stock, root: Path, seed: int, tell: Callable[[str], None]) -> KillRow:
    """Return what became of so many kills of a command while it ran, at moments that the seed decides."""
    moments = np.random.default_rng([seed, *command.name.encode()])
    before = undisturbed(command, stock, root / "undisturbed")
    done: list[Try] = []
    while (landed := sum(one.landed for one in done)) < kills and len(done) < MOST_DRAWS * kills:
        done.append(kill_once(command, stock, before, root / "try", moments.random()))
        tell(f"{command.name}: {landed + done[-1].landed} of {kills}{'; '.join(('', *done[-1].complaints))}")
    return row(command, kills, before, done)


def undisturbed(command: Command, stock: Stock, root: Path) -> Undisturbed:
    """Run a command twice with nothing in its way: it takes as long as the second, and leaves the same both times."""
    seconds: list[float] = []
    found: list[Mapping[str, str]] = []
    complaints: list[str] = []
    for _ in range(UNDISTURBED):
        with placed(command, root) as place:
            ended = run(command.words(place), place, command.conditions)
            seconds.append(ended.seconds)
            found.append(content(place))
            complaints += [*_failed(ended), *_wrong(stock, place)]
    if found[0] != found[1] and not command.timed:
        complaints.append(f"two runs differ in {', '.join(differences(found[0], found[1]))}")
    return Undisturbed(seconds[-1], found[-1], tuple(complaints))


def kill_once(command: Command, stock: Stock, before: Undisturbed, root: Path, share: float) -> Try:
    """Kill the command once, look at what is there, and run it again."""
    with placed(command, root) as place:
        ended = run(command.words(place), place, command.conditions, kill_after=share * before.seconds)
        complaints = [f"after the kill: {text}" for text in broken(stock, place)]
        if orphans(place):
            complaints.append("after the kill: a process of it goes on")
        complete, searched_before = is_complete(command, place, before), searched(place)
        again = run(command.words(place), place, command.conditions)
        if not (complete and again.said.endswith(EXISTS)):  # it was killed with nothing left to do
            complaints += _failed(again)
        complaints += [*_wrong(stock, place), *([] if command.timed else _other_content(place, before))]
        lost = searched_before - searched(place)
        complaints += [f"tries measured before the kill are lost: {len(lost)}"] if lost else []
    return Try(command.name, share, ended.killed, tuple(complaints))


def is_complete(command: Command, place: Place, before: Undisturbed) -> bool:
    """Whether a command had done all that it does: whatever choice times led to, what is in place is whole."""
    if command.timed:
        return any(place.dist.glob(f"[!.]*/{MANIFEST_NAME}"))
    return content(place) == before.content


def row(command: Command, kills: int, before: Undisturbed, done: Sequence[Try]) -> KillRow:
    landed = [one for one in done if one.landed]
    missing = () if len(landed) == kills else (f"{len(landed)} of {kills} kills landed, with {len(done)} drawn",)
    return KillRow(
        command=command.name,
        seconds=before.seconds,
        landed=len(landed),
        survived=sum(not one.complaints for one in landed),
        late=len(done) - len(landed),
        complaints=(*before.complaints, *(text for one in done for text in one.complaints), *missing),
    )


def _failed(ended: Ended) -> list[str]:
    return [] if ended.status == 0 else [f"status {ended.status} ({ended.said})"]


def _wrong(stock: Stock, place: Place) -> list[str]:
    return [*broken(stock, place), *(f"left {name}" for name in leftovers(place))]


def _other_content(place: Place, before: Undisturbed) -> list[str]:
    found = differences(content(place), before.content)
    return [f"other bytes than undisturbed: {', '.join(found)}"] if found else []
