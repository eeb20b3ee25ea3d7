"""The one direction, end to end: checkpoint -> graphs -> gate -> bundle, for several targets and precisions.

What is wrong with a request is found before any work is spent on it. Each bundle stands alone: one that fails does
not stop the others.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from .bundle import BundleDraft, write_bundle
from .candidates import Accepted, Made, Progress, Shared, export_task, make
from .errors import OutputError, SamExportError
from .export_ahead import ExportAhead
from .held_out import require_held_out
from .jobs import ExportRequest, Job, by_bundle, is_quantized, plan
from .models import Component, SamModel, components, load, untrained
from .models.components import LARGE_BYTES, weights_bytes
from .verification import Verification
from .verify.ground_truth_folder import evaluation_pictures
from .verify.lanes import lanes_here
from .verify.pictures import picture_set
from .verify.report import render_report
from .verify.report_suite import bundle_report
from .verify.selftest import selftest_of
from .verify.suite import Suite, build_suite

REPORT_NAME = "report.html"


@dataclass(frozen=True)
class Outcome:
    """What became of one job: a bundle, or the error that kept it from being one, and what was measured."""

    job: Job
    bundle: Path | None = None
    bytes: int = 0
    export_seconds: float = 0.0
    verification: Verification | None = None
    error: SamExportError | None = None


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
    require_held_out(request, jobs, pictures)
    model = _model(request, progress)
    parts = components(model)
    with _exports_ahead(parts, jobs, request) as ahead:
        suite = build_suite(model, pictures, fewer_if_slow=request.evaluation is None, progress=progress)
        shared = Shared(request, model, parts, suite, progress, ahead)
        return tuple(outcome for own in by_bundle(jobs) for outcome in _attempt(own, shared))


def _model(request: ExportRequest, progress: Progress | None) -> SamModel:
    if request.random_seed is not None:
        return untrained(request.model, request.random_seed)
    return load(request.model, request.checkpoint, progress)


def _exports_ahead(
    parts: tuple[Component, ...], jobs: tuple[Job, ...], request: ExportRequest
) -> AbstractContextManager[ExportAhead | None]:
    """Return the process that exports what needs no quantizer, or None where it would have no core to itself."""
    tasks = tuple(export_task(job) for job in jobs if not is_quantized(job))
    # Another process would hold the weights once more.
    large = any(weights_bytes(part.module) > LARGE_BYTES for part in parts)
    return ExportAhead(parts, tasks, request.options) if tasks and lanes_here() > 1 and not large else nullcontext()


def export_model(
    model: SamModel, jobs: tuple[Job, ...], suite: Suite, request: ExportRequest, progress: Progress | None = None
) -> tuple[Outcome, ...]:
    """Return one outcome per job for a model that is loaded already, measured on a suite of its own answers."""
    shared = Shared(request, model, components(model), suite, progress)
    return tuple(outcome for own in by_bundle(jobs) for outcome in _attempt(own, shared))


def _attempt(jobs: tuple[Job, ...], shared: Shared) -> tuple[Outcome, ...]:
    """Return the outcomes of the jobs that make one bundle; a bug of our own still stops everything."""
    try:
        with tempfile.TemporaryDirectory(prefix="sam-export-") as work:
            return _bundled(jobs, shared, Path(work))
    except OSError as exc:
        reason = exc.strerror or str(exc)
        text = f"{jobs[0].label}: no temporary folder ({reason}); free space or set TMPDIR"
        return tuple(Outcome(job, error=OutputError(text)) for job in jobs)


def _bundled(jobs: tuple[Job, ...], shared: Shared, work: Path) -> tuple[Outcome, ...]:
    """Return the outcomes with the bundle of all jobs, or without one if any of them failed."""
    made: list[Made] = []
    for job in jobs:
        before = made[-1].accepted.cases if made and made[-1].accepted else None
        made.append(make(job, shared, work / job.precision, before=before, alone=len(jobs) == 1))
    accepted = [one.accepted for one in made if one.accepted is not None]
    if len(accepted) < len(made):
        return tuple(map(_outcome, made))
    try:
        draft = _draft(jobs[0], shared, accepted)
        bundle = write_bundle(draft, shared.request.out, overwrite=shared.request.overwrite)
    except SamExportError as exc:  # what was measured is not lost with it
        return tuple(replace(_outcome(one), error=exc) for one in made)
    return tuple(replace(_outcome(one), bundle=bundle) for one in made)


def _outcome(made: Made) -> Outcome:
    return Outcome(
        made.job,
        bytes=made.bytes,
        export_seconds=made.export_seconds,
        verification=made.verification,
        error=made.error,
    )


def _draft(job: Job, shared: Shared, accepted: list[Accepted]) -> BundleDraft:
    """Return the bundle to be, its smallest variant first: of those that are for a device, runtimes take the first."""
    ordered = sorted(accepted, key=lambda one: one.reported.bytes)
    model, suite = shared.model, shared.suite
    variant, precision = model.variant, ", ".join(one.candidate.name for one in ordered)
    selftest = selftest_of(accepted[-1].cases, suite)
    report = render_report(bundle_report(model.card, job.target, precision, [one.reported for one in ordered], suite))
    return BundleDraft(
        model=model.card,
        target=job.target,
        precision=precision,
        preprocessing=variant.preprocessing,
        mask_rule=variant.mask_rule,
        candidates=tuple(one.candidate for one in ordered),
        selftest=selftest.selftest,
        extras={**selftest.files, **dict(_extras(ordered)), REPORT_NAME: report.encode()},
        keep_compressed=shared.request.compress,
    )


def _extras(accepted: list[Accepted]) -> Iterator[tuple[str, bytes]]:
    """Yield the recipes and searches of the variants, each in the variant's folder if there are several."""
    for one in accepted:
        folder = f"{one.candidate.name}/" if len(accepted) > 1 else ""
        yield from ((f"{folder}{path}", content) for path, content in one.extras.items())
