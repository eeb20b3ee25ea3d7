"""What was tried and what survived, as JSON and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from .cases import CaseRow
from .kills import KillRow

JSON_NAME, MARKDOWN_NAME = "faults.json", "faults.md"
MOST_SHOWN = 160


@dataclass(frozen=True)
class FaultReport:
    """`tools`: versions. `seconds`: of the whole."""

    seed: int
    created: str
    seconds: float
    tools: dict[str, str]
    kills: tuple[KillRow, ...] = ()
    cases: tuple[CaseRow, ...] = ()

    @property
    def complaints(self) -> tuple[str, ...]:
        """What did not survive, but for what is known not to."""
        of_kills = (f"{row.command}: {text}" for row in self.kills for text in row.complaints)
        of_cases = (text for row in self.cases if not row.known for text in _complaints(row))
        return (*of_kills, *of_cases)

    @property
    def known(self) -> tuple[str, ...]:
        """What did not survive and stays so, with the reason."""
        return tuple(f"{text}. {row.known}" for row in self.cases if row.known for text in _complaints(row))


def _complaints(row: CaseRow) -> Iterator[str]:
    return (f"{row.kind}, {row.what}: {text}" for text in row.complaints)


def encode(report: FaultReport) -> bytes:
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"


def decode(text: bytes) -> FaultReport:
    return msgspec.json.decode(text, type=FaultReport)


def markdown(report: FaultReport) -> str:
    """Return the report as Markdown; the same report gives the same text."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: FaultReport) -> Iterator[str]:
    landed, survived, late = (
        sum(getattr(row, name) for row in report.kills) for name in ("landed", "survived", "late")
    )
    done = [row for row in report.cases if row.tried]
    passed = sum(not row.complaints for row in done)
    yield "# What was broken on purpose, and what survived"
    yield ""
    yield (
        f"{survived} of {landed} kills and {passed} of {len(done)} other faults, in {report.seconds / 60:.0f} minutes. "
        "Made by `python -m sam_export.benchmarks.faults -o docs`, which tries them on a model of 64 pixels with "
        f"random weights, one thread, seed {report.seed}; {', '.join(f'{k} {v}' for k, v in report.tools.items())}. "
        f"The numbers are in `{JSON_NAME}` beside this page."
    )
    yield ""
    yield from _kill_lines(report.kills, late)
    yield from _case_lines(report.cases)
    texts = (*report.complaints, *report.known)
    if texts:
        yield from ("## What did not survive", "", *(f"- {text}" for text in texts))


def _kill_lines(rows: Sequence[KillRow], late: int) -> Iterator[str]:
    yield "## Killed with SIGKILL at a random moment"
    yield ""
    yield (
        "The moments are drawn over the time that the command takes undisturbed. A kill counts if it landed while the "
        f"command ran; {late} came after its end and were drawn anew, though what they found is checked as well. One "
        "has survived if nothing half-done lies under its final name after the kill, no process of it goes on, and "
        "the same command run again succeeds, leaves no temporary file of either run, and gives the bytes of an "
        "undisturbed run (`bundle.json` but for its times; of a search, whose choice depends on measured times: a "
        "whole bundle, and every try that was measured before the kill as it was). If the bundle was in place "
        "already, to refuse to write it again is right."
    )
    yield ""
    yield "| command | undisturbed, s | kills | survived | too late |"
    yield "|---|---:|---:|---:|---:|"
    for row in rows:
        yield f"| {row.command} | {row.seconds:.1f} | {row.landed} | {row.survived} | {row.late} |"
    yield ""


def _case_lines(rows: Sequence[CaseRow]) -> Iterator[str]:
    yield "## Other faults"
    yield ""
    yield (
        "The command has to pass or to end with an error of this project, and must leave nothing half-done; run again "
        "without the fault it has to succeed, with the bytes of an undisturbed run and no temporary file left."
    )
    yield ""
    yield "| fault | what | answer | survived |"
    yield "|---|---|---|---|"
    for row in rows:
        survived = "–" if not row.tried else "no" if row.complaints else "yes"
        yield f"| {row.kind} | {row.what} | {_cell(row.answer)} | {survived} |"
    yield ""


def _cell(text: str) -> str:
    short = text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"
    return short.replace("|", "\\|")
