"""The one direction, end to end: checkpoint -> graphs -> gate -> bundle, for several targets and precisions.

What is wrong with a request is found before any work is spent on it. Each bundle stands alone: one that fails does
not stop the others.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from .bundle import BundleDraft, Candidate, write_bundle
from .contract import ComponentName, Graph, Session
from .errors import AccuracyError, OutputError, SamExportError
from .export_ahead import ExportAhead, Exported, ExportTask, export_parts
from .exporters import TARGETS
from .jobs import ExportRequest, Job, float_precisions, is_quantized, name_of, plan
from .models import Component, SamModel, components, load, untrained
from .models.components import LARGE_BYTES, weights_bytes
from .models.variants import NOT_VERIFIED
from .precision import of_components
from .quantize.plan import encode_plan
from .quantize.request import quantized
from .search_record import SearchRecord, encode_records
from .verification import Failed, Verification
from .verify.blame import blame
from .verify.evaluators import EncodedOnce, evaluation_notes, evaluation_session
from .verify.gate import verify
from .verify.ground_truth_folder import evaluation_pictures
from .verify.lanes import lanes_here
from .verify.limits import limits_for
from .verify.pictures import picture_set
from .verify.ranges import require_float16_range
from .verify.report import render_report
from .verify.report_suite import bundle_report
from .verify.selftest import build_selftest
from .verify.suite import Suite, build_suite

Progress = Callable[[str, int, int], None]
REPORT_NAME = "report.html"
RECIPE_NAME = "recipe.json"
SEARCH_NAME = "search.json"


@dataclass(frozen=True)
class Outcome:
    """What became of one job: a bundle, or the error that kept it from being one, and what was measured."""

    job: Job
    bundle: Path | None = None
    bytes: int = 0
    export_seconds: float = 0.0
    verification: Verification | None = None
    error: SamExportError | None = None


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


def export_bundles(request: ExportRequest, progress: Progress | None = None) -> tuple[Outcome, ...]:
    """Return one outcome per target and precision, in the order asked for.

    Raises:
        RequestError, UnsupportedError, MissingDependencyError, OutputError, ImageError, GroundTruthError:
            before any work.
        CheckpointError: the model cannot be loaded.
        NotVerifiableError: the reference answers no prompt with a stable mask.
    """
    jobs = plan(request)
    pictures = evaluation_pictures(request.evaluation) if request.evaluation else picture_set("gate")
    model = _model(request, progress)
    parts = components(model)
    with _exports_ahead(parts, jobs, request) as ahead:
        suite = build_suite(model, pictures, fewer_if_slow=request.evaluation is None, progress=progress)
        shared = Shared(request, model, parts, suite, progress, ahead)
        return tuple(_attempt(job, shared) for job in jobs)


def _model(request: ExportRequest, progress: Progress | None) -> SamModel:
    if request.random_seed is not None:
        return untrained(request.model, request.random_seed)
    return load(request.model, request.checkpoint, progress)


def _exports_ahead(
    parts: tuple[Component, ...], jobs: tuple[Job, ...], request: ExportRequest
) -> AbstractContextManager[ExportAhead | None]:
    """Return the process that exports what needs no quantizer, or None where it would have no core to itself."""
    tasks = tuple(_task(job) for job in jobs if not is_quantized(job))
    # Another process would hold the weights once more.
    large = any(weights_bytes(part.module) > LARGE_BYTES for part in parts)
    return ExportAhead(parts, tasks, request.options) if tasks and lanes_here() > 1 and not large else nullcontext()


def export_model(
    model: SamModel, jobs: tuple[Job, ...], suite: Suite, request: ExportRequest, progress: Progress | None = None
) -> tuple[Outcome, ...]:
    """Return one outcome per job for a model that is loaded already, measured on a suite of its own answers."""
    shared = Shared(request, model, components(model), suite, progress)
    return tuple(_attempt(job, shared) for job in jobs)


def _attempt(job: Job, shared: Shared) -> Outcome:
    """Return the bundle of a job, or why there is none; a bug of our own still stops everything."""
    try:
        with tempfile.TemporaryDirectory(prefix="sam-export-") as work:
            return _run(job, shared, Path(work))
    except SamExportError as exc:
        return Outcome(job, error=exc)
    except OSError as exc:
        reason = exc.strerror or str(exc)
        return Outcome(job, error=OutputError(f"{job.label}: no temporary folder ({reason}); free space or set TMPDIR"))


def _run(job: Job, shared: Shared, work: Path) -> Outcome:
    request = shared.request
    started = time.perf_counter()
    parts, extras, searches = _parts(job, shared)
    prepared = time.perf_counter() - started
    exported = _export(job, shared, parts, work)
    graphs = exported.graphs
    sessions, evaluated_by, notes = _sessions(graphs)
    verdict = verify(
        sessions,
        shared.suite,
        limits_for(job.precision, request.min_iou),
        evaluated_by=evaluated_by,
        notes=(*_model_notes(shared.model), *notes, *_range_notes(job, shared)),
        progress=lambda _, done, total: shared.show(f"{job.label}: verify", done, total),
    )
    size = sum((graph.path.parent / file).stat().st_size for graph in graphs for file in graph.files)
    outcome = Outcome(job, bytes=size, export_seconds=prepared + exported.seconds, verification=verdict)
    if isinstance(verdict, Failed):
        return replace(outcome, error=_accuracy_error(name_of(request, job), shared, sessions, graphs, verdict))
    candidate = Candidate(job.precision, TARGETS[job.target].devices, graphs, verdict)
    draft = _draft(job, shared, candidate, sessions, extras, searches)
    try:
        return replace(outcome, bundle=write_bundle(draft, request.out, overwrite=request.overwrite))
    except OutputError as exc:  # what was measured is not lost with it
        return replace(outcome, error=exc)


def _model_notes(model: SamModel) -> tuple[str, ...]:
    """Return what must be known of the reference: where its weights were found, and whether it is upstream's model."""
    if model.variant.verified_against is not None:
        return model.notes
    return (*model.notes, f"{model.variant.family}: {NOT_VERIFIED}")


def _range_notes(job: Job, shared: Shared) -> tuple[str, ...]:
    """Return what must be known of components that other devices compute in fp16."""
    precisions = of_components(job.precision)
    halves = [part for part in shared.parts if precisions[part.contract.component] == "fp16"]
    return tuple(require_float16_range(part, shared.suite) for part in halves)


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


def _parts(job: Job, shared: Shared) -> tuple[tuple[Component, ...], dict[str, bytes], tuple[SearchRecord, ...]]:
    """Return the components to export, quantized if the job asks for it, with the recipe and how it was found."""
    if not is_quantized(job):
        return shared.parts, {}, ()

    def show(stage: str, done: int, total: int) -> None:
        shared.show(f"{job.label}: {stage}", done, total)

    result = quantized(
        shared.model, shared.parts, job.target, job.precision, shared.request.quantization, shared.request.options, show
    )
    extras = {RECIPE_NAME: encode_plan(result.plan)}
    if result.records:
        extras[SEARCH_NAME] = encode_records(result.records)
    return result.components, extras, result.records


def _export(job: Job, shared: Shared, parts: tuple[Component, ...], work: Path) -> Exported:
    def show(done: int) -> None:
        shared.show(f"{job.label}: export", done, len(parts))

    task, ahead = _task(job), shared.ahead
    if ahead is None or parts is not shared.parts:
        return export_parts(parts, task, shared.request.options, work, show)
    show(0)
    exported = ahead.result(task)
    show(len(parts))
    return exported


def _task(job: Job) -> ExportTask:
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


def _draft(
    job: Job,
    shared: Shared,
    candidate: Candidate,
    sessions: dict[ComponentName, Session],
    extras: dict[str, bytes],
    searches: tuple[SearchRecord, ...],
) -> BundleDraft:
    model, suite = shared.model, shared.suite
    variant = model.variant
    selftest = build_selftest(sessions, suite)
    report = render_report(
        bundle_report(model.card, job.target, job.precision, candidate, suite, sessions, searches=searches)
    )
    return BundleDraft(
        model=model.card,
        target=job.target,
        precision=job.precision,
        preprocessing=variant.preprocessing,
        mask_rule=variant.mask_rule,
        candidates=(candidate,),
        selftest=selftest.selftest,
        extras={**selftest.files, **extras, REPORT_NAME: report.encode()},
    )
