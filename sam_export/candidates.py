"""One set of graphs made and measured: from a job to a candidate for a bundle, or the reason why there is none."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from .bundle import Candidate
from .bundle_files import compress
from .contract import ComponentName, Graph, Session
from .errors import AccuracyError, SamExportError
from .export_ahead import ExportAhead, Exported, ExportTask, export_parts
from .exporters import TARGETS
from .jobs import ExportRequest, Job, float_precisions, is_quantized, name_of
from .models import Component, SamModel
from .models.variants import NOT_VERIFIED
from .precision import of_components
from .quantize.float_search import kept_in_float32
from .quantize.plan import encode_plan
from .quantize.request import quantized
from .quantize.task import QuantizeRequest, Task
from .search_record import SearchRecord, encode_records
from .verification import Failed, Verification
from .verify.blame import blame
from .verify.evaluators import EncodedOnce, evaluation_notes, evaluation_session
from .verify.gate import verify
from .verify.lanes import lanes_here
from .verify.limits import limits_for
from .verify.ranges import program_notes, require_float16_range
from .verify.report import ReportedCandidate
from .verify.report_suite import reported_candidate
from .verify.selftest import CASES, CASES_TO_AGREE_ON, FoundCases, agreed, find_cases
from .verify.suite import Suite

Progress = Callable[[str, int, int], None]
RECIPE_NAME = "recipe.json"
SEARCH_NAME = "search.json"


@dataclass(frozen=True, eq=False)
class Shared:
    """What all jobs of a request have in common."""

    request: ExportRequest
    model: SamModel
    parts: tuple[Component, ...]
    suite: Suite
    progress: Progress | None
    ahead: ExportAhead | None = None

    def show(self, stage: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(stage, done, total)


@dataclass(frozen=True, eq=False)
class Made:
    """What became of a job so far. `accepted` is None where it failed, and `error` then says why."""

    job: Job
    bytes: int = 0
    export_seconds: float = 0.0
    verification: Verification | None = None
    error: SamExportError | None = None
    accepted: Accepted | None = None


@dataclass(frozen=True, eq=False)
class Source:
    """The components to export, the files that say how they were made, and how long that took."""

    parts: tuple[Component, ...]
    extras: dict[str, bytes] = field(default_factory=dict)
    searches: tuple[SearchRecord, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Accepted:
    """What a bundle will hold of a candidate that passed. `cases`: for the self-test, agreed on by those before it."""

    candidate: Candidate
    reported: ReportedCandidate
    cases: FoundCases
    extras: dict[str, bytes] = field(default_factory=dict)


def make(job: Job, shared: Shared, work: Path, *, before: FoundCases | None, alone: bool) -> Made:
    """Return the job's graphs, made in `work` and measured.

    Args:
        before: the self-test's cases that the bundle's variants agree on so far.
        alone: whether the bundle has this variant only.
    """
    most_cases = CASES if alone else CASES_TO_AGREE_ON
    try:
        source = _source(job, shared)
        made = _made(job, shared, source, work, before, most_cases)
        if isinstance(made.error, AccuracyError):
            wider = _more_float32(job, shared, source)
            made = made if wider is None else _made(job, shared, wider, work / "wider", before, most_cases)
    except SamExportError as exc:
        return Made(job, error=exc)
    return made


def _made(job: Job, shared: Shared, source: Source, work: Path, before: FoundCases | None, most_cases: int) -> Made:
    try:
        notes = _range_notes(job, source.parts, shared.suite)
    except AccuracyError as exc:
        return Made(job, error=exc)
    exported = _export(job, shared, source.parts, work)
    graphs = exported.graphs
    sessions, verdict = _verified(job, shared, graphs, notes)
    size = sum((graph.path.parent / file).stat().st_size for graph in graphs for file in graph.files)
    made = Made(job, size, source.seconds + exported.seconds, verdict)
    if isinstance(verdict, Failed):
        name = name_of(shared.request, [job])
        return replace(made, error=_accuracy_error(name, shared, sessions, graphs, verdict))
    if TARGETS[job.target].one_bundle:
        for graph in graphs:
            compress(graph)
    candidate = Candidate(job.precision, TARGETS[job.target].devices(job.precision), graphs, verdict)
    reported = reported_candidate(candidate, shared.suite, sessions, searches=source.searches)
    suite = shared.suite
    cases = find_cases(sessions, suite, most=most_cases) if before is None else agreed(before, sessions, suite)
    return replace(made, accepted=Accepted(candidate, reported, cases, source.extras))


def _verified(
    job: Job, shared: Shared, graphs: tuple[Graph, ...], range_notes: tuple[str, ...]
) -> tuple[dict[ComponentName, Session], Verification]:
    sessions, evaluated_by, notes = _sessions(graphs)
    by_name = {part.contract.component: part for part in shared.parts}
    verdict = verify(
        sessions,
        shared.suite,
        limits_for(job.precision, shared.request.min_iou),
        evaluated_by=evaluated_by,
        notes=(*_model_notes(shared.model), *notes, *range_notes, *program_notes(graphs, by_name, shared.suite)),
        progress=lambda _, done, total: shared.show(f"{job.label}: verify", done, total),
    )
    return sessions, verdict


def _model_notes(model: SamModel) -> tuple[str, ...]:
    """Return what must be known of the reference: where its weights were found, and whether it is upstream's model."""
    if model.variant.verified_against is not None:
        return model.notes
    return (*model.notes, f"{model.variant.family}: {NOT_VERIFIED}")


def _range_notes(job: Job, parts: tuple[Component, ...], suite: Suite) -> tuple[str, ...]:
    """Return what must be known of components that other devices compute in fp16."""
    precisions = of_components(job.precision)
    halves = [part for part in parts if precisions[part.contract.component] == "fp16"]
    return tuple(require_float16_range(part, suite) for part in halves)


def _accuracy_error(
    name: str, shared: Shared, sessions: dict[ComponentName, Session], graphs: tuple[Graph, ...], verdict: Failed
) -> AccuracyError:
    """Return the numbers, which component and which of its layers are at fault, and what would pass."""
    fault = blame(sessions, graphs, shared.parts, shared.suite, verdict)
    lossy = not name.endswith("-fp32")
    advice = ["compare it with --precision fp32" if lossy else "install the versions in constraints.txt"]
    if all("mask IoU" in reason for reason in verdict.reasons):
        advice.append("or accept less with --min-iou, which the bundle then says")
    return AccuracyError(f"{name}: {'; '.join(verdict.reasons)}; {fault}; {', '.join(advice)}")


def _source(job: Job, shared: Shared) -> Source:
    """Return the components to export, quantized if the job asks for it."""
    if not is_quantized(job):
        return Source(shared.parts)
    started = time.perf_counter()
    asked, show = _asked(shared), _shown(job, shared)
    result = quantized(shared.model, shared.parts, job.target, job.precision, asked, shared.request.options, show)
    extras = {RECIPE_NAME: encode_plan(result.plan), **_searches(result.records)}
    return Source(result.components, extras, result.records, time.perf_counter() - started)


def _more_float32(job: Job, shared: Shared, source: Source) -> Source | None:
    """Return the same with more modules in fp32, or None where that does not help."""
    started = time.perf_counter()
    task = Task(
        shared.model,
        source.parts,
        job.target,
        job.precision,
        shared.request.options,
        _asked(shared),
        _shown(job, shared),
    )
    kept = kept_in_float32(task)
    if not kept.components:
        return None
    parts = tuple(kept.components.get(part.contract.component, part) for part in source.parts)
    searches = (*source.searches, *kept.records)
    seconds = source.seconds + time.perf_counter() - started
    return Source(parts, {**source.extras, **_searches(searches)}, searches, seconds)


def _searches(records: tuple[SearchRecord, ...]) -> dict[str, bytes]:
    return {SEARCH_NAME: encode_records(records)} if records else {}


def _asked(shared: Shared) -> QuantizeRequest:
    return replace(shared.request.quantization, min_iou=shared.request.min_iou)


def _shown(job: Job, shared: Shared) -> Progress:
    return lambda stage, done, total: shared.show(f"{job.label}: {stage}", done, total)


def _export(job: Job, shared: Shared, parts: tuple[Component, ...], work: Path) -> Exported:
    def show(done: int) -> None:
        shared.show(f"{job.label}: export", done, len(parts))

    task, ahead = export_task(job), shared.ahead
    if ahead is None or parts is not shared.parts:
        return export_parts(parts, task, shared.request.options, work, show)
    show(0)
    exported = ahead.result(task)
    show(len(parts))
    return exported


def export_task(job: Job) -> ExportTask:
    return ExportTask(job.target, float_precisions(job))


def _sessions(graphs: tuple[Graph, ...]) -> tuple[dict[ComponentName, Session], str, tuple[str, ...]]:
    """Return the graphs opened for the gate, what runs them, and what that measurement cannot say."""
    sessions: dict[ComponentName, Session] = {}
    notes: list[str] = []
    evaluated_by = ""
    for graph in graphs:
        session, evaluated_by = evaluation_session(graph, lanes=lanes_here())
        component = graph.contract.component
        sessions[component] = EncodedOnce(session) if component == "image_encoder" else session
        notes += evaluation_notes(graph, session)
    return sessions, evaluated_by, tuple(notes)
