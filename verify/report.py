"""`report.html`: what was measured, drawn for a person. One file, no scripts, nothing fetched from anywhere.

`render_report` is a pure function of a `Report`. All text in it may come from strangers' files, so the
template escapes everything, and the page forbids itself every request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..contract import EngineReport, Recipe
from ..manifest import ModelCard
from ..search_record import SearchRecord
from ..verification import Failed, Passed, PromptScore
from .report_environment import page_environment
from .report_pictures import Case, Drawing, draw_case
from .report_search import SearchView, view_search
from .report_view import ROLE_TEXT, CandidateView, KindRole, PromptKind, view_candidate

__all__ = [
    "Case",
    "KindRole",
    "PictureEntry",
    "PictureSet",
    "PromptKind",
    "Report",
    "ReportedCandidate",
    "ReportedGraph",
    "SuiteDescription",
    "choose_cases",
    "render_report",
]

# Longest side in pixels and JPEG quality, best first: the first pair that fits the budget is used.
PICTURE_SIZES = ((320, 80), (320, 66), (256, 66), (200, 60), (160, 50), (112, 45), (80, 40))
PICTURE_BUDGET_BYTES = 1_100_000


@dataclass(frozen=True)
class PictureEntry:
    """One picture of a set: its name, where it came from (free text) and the sha256 of its pixels."""

    name: str
    source: str
    sha256: str


@dataclass(frozen=True)
class PictureSet:
    """`purpose` is a sentence: "measured here", "calibrates activation ranges; never measured"."""

    name: str
    purpose: str
    pictures: tuple[PictureEntry, ...]


@dataclass(frozen=True)
class SuiteDescription:
    """What the candidates were measured on. `kinds` name every kind of prompt and what it was used for."""

    sha256: str
    sets: tuple[PictureSet, ...]
    kinds: tuple[PromptKind, ...]


@dataclass(frozen=True)
class ReportedGraph:
    """One component's graph: what it became, its size on disk, and what the engine said that ran it."""

    component: str
    recipe: Recipe
    bytes: int
    engine: EngineReport | None = None
    brotli_bytes: int | None = None


@dataclass(frozen=True)
class ReportedCandidate:
    """One set of graphs, the gate's verdict, the prompts to show of it, and the searches that led to it, if any."""

    name: str
    graphs: tuple[ReportedGraph, ...]
    verification: Passed | Failed
    cases: tuple[Case, ...]
    devices: tuple[str, ...] = ()
    searches: tuple[SearchRecord, ...] = ()

    @property
    def bytes(self) -> int:
        return sum(graph.bytes for graph in self.graphs)

    @property
    def brotli_bytes(self) -> int | None:
        """What a host that compresses sends of all graphs, None where that was not measured."""
        sizes = [graph.brotli_bytes for graph in self.graphs if graph.brotli_bytes is not None]
        return sum(sizes) if len(sizes) == len(self.graphs) else None


@dataclass(frozen=True)
class Report:
    """Everything that the page says. No time: a page of the same bundle is the same, and the manifest has one."""

    model: ModelCard
    target: str
    precision: str
    candidates: tuple[ReportedCandidate, ...]
    suite: SuiteDescription
    tools: Mapping[str, str]

    @property
    def passed(self) -> bool:
        return all(isinstance(candidate.verification, Passed) for candidate in self.candidates)


@dataclass(frozen=True)
class Shown:
    """A candidate as the template reads it."""

    candidate: ReportedCandidate
    view: CandidateView
    cases: tuple[tuple[Case, Drawing, str], ...]
    searches: tuple[SearchView, ...]

    @property
    def searched(self) -> frozenset[str]:
        """The components whose exceptions are listed with their search."""
        return frozenset(search.component for search in self.searches)


def choose_cases(scores: tuple[PromptScore, ...], *, worst: int = 6, typical: int = 3) -> tuple[PromptScore, ...]:
    """Return the lowest mask IoUs, then prompts spread evenly over the others, for `Report.cases`.

    Give the gated scores only: prompts that have no stable answer would fill every place.
    """
    ranked = sorted(scores, key=_rank)
    rest = ranked[worst:]
    places = {min(round((index + 1) * len(rest) / (typical + 1)), len(rest) - 1) for index in range(typical)}
    return (*ranked[:worst], *(rest[place] for place in sorted(places) if rest))


def render_report(report: Report) -> str:
    """Return the page as HTML text; the same report gives the same text. Write it as UTF-8."""
    drawings = _draw_within_budget(report)
    shown = tuple(
        Shown(
            candidate,
            view_candidate(candidate.verification, report.suite.kinds),
            _label_cases(candidate, drawn),
            _view_searches(candidate),
        )
        for candidate, drawn in zip(report.candidates, drawings, strict=True)
    )
    return page_environment().get_template("report.html").render(report=report, shown=shown, role_text=ROLE_TEXT)


def _view_searches(candidate: ReportedCandidate) -> tuple[SearchView, ...]:
    choices = {graph.component: graph.recipe.layers for graph in candidate.graphs}
    return tuple(view_search(record, choices.get(record.component, ())) for record in candidate.searches)


def _draw_within_budget(report: Report) -> list[list[Drawing]]:
    canvases = [[draw_case(case) for case in _worst_first(candidate.cases)] for candidate in report.candidates]
    for longest_side, quality in PICTURE_SIZES:
        drawings = [[canvas.encode(longest_side, quality) for canvas in cases] for cases in canvases]
        if sum(len(one.outlines) + len(one.difference) for cases in drawings for one in cases) <= PICTURE_BUDGET_BYTES:
            break
    return drawings


def _worst_first(cases: tuple[Case, ...]) -> list[Case]:
    return sorted(cases, key=lambda case: _rank(case.score))


def _label_cases(candidate: ReportedCandidate, drawings: list[Drawing]) -> tuple[tuple[Case, Drawing, str], ...]:
    """Pair each case, worst first, with its drawing and its place among all prompts of its kind."""
    scores = candidate.verification.measurement.prompts
    return tuple(
        (case, drawing, _place(case.score, scores))
        for case, drawing in zip(_worst_first(candidate.cases), drawings, strict=True)
    )


def _place(score: PromptScore, scores: tuple[PromptScore, ...]) -> str:
    same_kind = [other for other in scores if other.kind == score.kind]
    lower = sum(_rank(other) < _rank(score) for other in same_kind)
    return f"{'worst' if lower == 0 else f'rank {lower + 1}'} of {max(len(same_kind), 1)}"


def _rank(score: PromptScore) -> tuple[float, float, str, str]:
    """Sort key, worst first; an IoU that is not a number is the worst of all."""
    iou = score.mask_iou if score.mask_iou == score.mask_iou else -1.0
    return iou, score.boundary_iou, score.picture, score.prompt
