"""One fault at a time: what a command is put through, what it may answer, and that the next run makes up for it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from .commands import Command, Stock, bare_place, broken, content, differences, leftovers, placed
from .run import Ended, Place, orphans, run

STATUSES = (1, 2, 3)
OURS = "sam-export: "
ENDED = "ended by "


class NotPossibleError(Exception):
    """This machine does not let us break it so."""


@dataclass(frozen=True)
class CaseRow:
    """One fault. `answer`: what the command said or that it passed; `complaints`: what is not as it must be; `known`:
    why some of that stays so. `tried`: False where this machine does not let us; `answer` then says why."""

    kind: str
    what: str
    answer: str
    complaints: tuple[str, ...] = ()
    known: str = ""
    tried: bool = True


@dataclass(frozen=True)
class Scene:
    """Where cases take place. `expected`: what commands leave undisturbed, by name, as far as it is known."""

    stock: Stock
    root: Path
    expected: dict[str, Mapping[str, str]]

    def undisturbed(self, command: Command) -> Mapping[str, str]:
        """Return what the command leaves if nothing happens to it."""
        if command.name not in self.expected:
            with placed(command, self.root / "undisturbed") as place:
                run(command.words(place), place, command.conditions)
                self.expected[command.name] = content(place)
        return self.expected[command.name]


@dataclass(frozen=True)
class Trouble:
    """What befalls the folders of a command once all is prepared, and how it ends."""

    begin: Callable[[], object] = lambda: None
    end: Callable[[], object] = lambda: None


@contextmanager
def no_trouble(_: Place) -> Iterator[Trouble]:
    """For faults that are in how the command is run."""
    yield Trouble()


def plainly(command: Command, place: Place) -> Ended:
    return run(command.words(place), place, command.conditions)


@dataclass(frozen=True)
class Case:
    """`fault`: of the command's folders, `disturbed`: of the run itself. `refused`: whether it has to end with an error
    of ours; otherwise it may also pass. `known`: cause, bound and decision, where an engine is known to end the
    process; nothing else is excused by it."""

    kind: str
    what: str
    command: Command
    fault: Callable[[Place], AbstractContextManager[Trouble]] = no_trouble
    disturbed: Callable[[Command, Place], Ended] = plainly
    refused: bool = True
    known: str = ""


def tried(case: Case, scene: Scene) -> CaseRow:
    """Put a command through a fault, then run it again without."""
    try:
        return _tried(case, scene)
    except NotPossibleError as exc:
        return CaseRow(case.kind, case.what, f"not tried: {exc}", tried=False)


def _tried(case: Case, scene: Scene) -> CaseRow:
    command = case.command
    expected = scene.undisturbed(command)
    with bare_place(scene.root / "case") as place, case.fault(place) as trouble:
        command.prepare(place)
        trouble.begin()
        ended = case.disturbed(command, place)
        complaints = [*unfit(ended, refused=case.refused), *broken(scene.stock, place)]
        if orphans(place):
            complaints.append("a process of it goes on")
        trouble.end()
        if ended.status != 0:
            again = plainly(command, place)
            complaints += [] if again.status == 0 else [f"the run after it: status {again.status} ({again.said})"]
        complaints += [f"left {name}" for name in leftovers(place)]
        changed = [] if command.timed else differences(content(place), expected)
        complaints += [f"other bytes than undisturbed: {', '.join(changed)}"] if changed else []
    answer = _without_folders(answer_of(ended), place)
    return CaseRow(case.kind, case.what, answer, tuple(complaints), _known(case, complaints))


def _without_folders(said: str, place: Place) -> str:
    """Return what was said without the names of folders that differ from run to run and from machine to machine."""
    return said.replace(f"{place.root}/", "").replace(f"{sys.prefix}/", "")


def _known(case: Case, complaints: Sequence[str]) -> str:
    return case.known if all(text.startswith(ENDED) for text in complaints) and complaints else ""


def unfit(ended: Ended, *, refused: bool) -> list[str]:
    """Return what is wrong with how a disturbed run ended: only success and errors of ours are right."""
    if ended.status == 0:
        return ["it passed, and should not have"] if refused else []
    if ended.status in STATUSES and ended.said.startswith(OURS):
        return []
    return [answer_of(ended) if ended.status < 0 else f"status {ended.status} ({ended.said})"]


def answer_of(ended: Ended) -> str:
    if ended.status < 0:
        return f"{ENDED}{signal.Signals(-ended.status).name}{f' ({ended.said})' if ended.said else ''}"
    return "passed" if ended.status == 0 else ended.said.removeprefix(OURS)
