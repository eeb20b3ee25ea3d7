"""What the report says of a suite, and the prompts that it shows with both masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache

from ..bundle import Candidate, tool_versions
from ..bundle_files import brotli_bytes
from ..contract import Graph
from ..manifest import ModelCard
from ..search_record import SearchRecord
from ..verification import Failed, Measurement, Passed, PromptScore
from .gate import Sessions, decode, encode, masks_in_picture, scored_cases
from .lanes import in_lanes, lanes_of
from .pictures import PURPOSES, SetName, picture_set
from .prompts import Case
from .report import (
    PictureEntry,
    PictureSet,
    PromptKind,
    Report,
    ReportedCandidate,
    ReportedGraph,
    SuiteDescription,
    choose_cases,
)
from .report_pictures import Case as ReportCase
from .suite import Suite, SuitePicture

OTHER_SETS: tuple[SetName, ...] = ("search", "calibration")


def describe_suite(suite: Suite) -> SuiteDescription:
    """Return every picture and kind of prompt that was measured, and the sets that were kept apart."""
    counts = Counter((case.prompt.kind, case.prompt.role) for case in suite.cases())
    measured = PictureSet(
        "gate",
        PURPOSES["gate"],
        tuple(PictureEntry(entry.picture.name, entry.picture.source, entry.picture.sha256) for entry in suite.pictures),
    )
    return SuiteDescription(
        sha256=suite.sha256,
        sets=(measured, *(_others() if _is_built_in(suite) else ())),
        kinds=tuple(PromptKind(kind, role, count) for (kind, role), count in counts.items()),
    )


def cases_to_show(
    sessions: Sessions, suite: Suite, found: Measurement, *, worst: int = 6, typical: int = 3
) -> tuple[ReportCase, ...]:
    """Return the worst gated prompts and some typical ones with both masks, computed again.

    Where the weights are untrained, the prompts compared by their logits take the gated ones' place.
    """
    role = "stable" if suite.count("stable") else "parity"
    gated = {case.prompt.kind for case in suite.cases() if case.prompt.role == role}
    chosen = choose_cases(tuple(score for score in found.prompts if score.kind in gated), worst=worst, typical=typical)
    return _drawn(sessions, suite, chosen)


def _drawn(sessions: Sessions, suite: Suite, scores: Sequence[PromptScore]) -> tuple[ReportCase, ...]:
    by_picture = {score.picture for score in scores}
    embeddings = {
        entry.picture.name: encode(sessions, entry) for entry in suite.pictures if entry.picture.name in by_picture
    }

    def drawn(found: tuple[SuitePicture, Case, PromptScore]) -> ReportCase:
        entry, case, score = found
        (answer,) = decode(sessions, suite, entry, (case,), embeddings[entry.picture.name])
        reference, candidate = masks_in_picture(suite, entry, case, answer)
        prompt = case.prompt
        return ReportCase(
            picture=entry.picture.name,
            prompt=prompt.name,
            kind=prompt.kind,
            image=entry.picture.image,
            reference_mask=reference,
            candidate_mask=candidate,
            score=score,
            box=prompt.box,
            points=prompt.points,
            labels=prompt.labels,
        )

    return tuple(in_lanes(drawn, tuple(scored_cases(suite, scores)), lanes_of(sessions.values())))


def _is_built_in(suite: Suite) -> bool:
    """A user's own pictures are kept apart from nothing that is listed here."""
    return all(entry.picture.source.startswith("scikit-image ") for entry in suite.pictures)


@cache
def _others() -> tuple[PictureSet, ...]:
    return tuple(_described(name) for name in OTHER_SETS)


def _described(name: SetName) -> PictureSet:
    pictures = tuple(PictureEntry(picture.name, picture.source, picture.sha256) for picture in picture_set(name))
    return PictureSet(name, PURPOSES[name], pictures)


def reported_candidate(
    candidate: Candidate, suite: Suite, sessions: Sessions, *, searches: tuple[SearchRecord, ...] = ()
) -> ReportedCandidate:
    """Return what a page says of a candidate, its cases computed again with both masks.

    `searches`: what led to the candidate, one record for each component that was searched.
    """
    verdict = candidate.verification
    assert isinstance(verdict, Passed | Failed)
    return ReportedCandidate(
        name=candidate.name,
        graphs=tuple(_reported_graph(graph, sessions) for graph in candidate.graphs),
        verification=verdict,
        cases=cases_to_show(sessions, suite, verdict.measurement),
        devices=candidate.devices,
        searches=searches,
    )


def bundle_report(
    card: ModelCard, target: str, precision: str, candidates: Sequence[ReportedCandidate], suite: Suite
) -> Report:
    """Return all that a bundle's page says."""
    return Report(card, target, precision, tuple(candidates), describe_suite(suite), tool_versions())


def _reported_graph(graph: Graph, sessions: Sessions) -> ReportedGraph:
    component = graph.contract.component
    size = sum((graph.path.parent / file).stat().st_size for file in graph.files)
    return ReportedGraph(component, graph.recipe, size, sessions[component].report, brotli_bytes(graph))
