"""What the user asked for, and the bundles that this means: planned, and refused, before any work is spent on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .bundle import bundle_name, require_free
from .errors import RequestError, UnsupportedError
from .exporters import TARGETS, ExportOptions, check_request, find_target
from .models import Variant, find, require_licence
from .precision import combined, of_components
from .quantize.recipes import FLOAT_OF_TARGET, OF_TARGET, QUANTIZED_PRECISIONS
from .quantize.request import QuantizeRequest
from .verify.limits import limits_for

QUANTIZED = frozenset(QUANTIZED_PRECISIONS)


@dataclass(frozen=True)
class ExportRequest:
    """What the user asked for. `precisions` empty: each target's default. A component's own override them.

    `random_seed`: export seeded random weights instead of a checkpoint's. `license_accepted`: of a licence that has
    terms to accept. `compress`: keep the graphs compressed, too, for hosts that serve them so.
    """

    model: str
    targets: tuple[str, ...]
    out: Path
    precisions: tuple[str, ...] = ()
    encoder_precisions: tuple[str, ...] = ()
    decoder_precisions: tuple[str, ...] = ()
    checkpoint: Path | None = None
    random_seed: int | None = None
    license_accepted: bool = False
    evaluation: Path | None = None
    min_iou: float | None = None
    overwrite: bool = False
    compress: bool = False
    options: ExportOptions = field(default_factory=ExportOptions)
    quantization: QuantizeRequest = field(default_factory=QuantizeRequest)


@dataclass(frozen=True)
class Job:
    """One set of graphs to be: a bundle, or a variant of one."""

    target: str
    precision: str

    @property
    def label(self) -> str:
        return f"{self.target} {self.precision}"


def plan(request: ExportRequest) -> tuple[Job, ...]:
    """Return the jobs of a request that can be tried, or raise the first thing that is wrong with it."""
    row = find(request.model)
    if not request.targets:
        raise RequestError(f"{request.model}: no target given; choose from {', '.join(TARGETS)} (--target)")
    _check_weights(request, row)
    jobs = tuple(
        Job(target, precision)
        for target in dict.fromkeys(request.targets)
        for precision in dict.fromkeys(_precisions(request, find_target(target).default_precisions))
    )
    for job in jobs:
        for precision in float_precisions(job):
            check_request(job.target, precision, request.options)
        limits_for(job.precision, request.min_iou)
    for own in by_bundle(jobs):
        require_free(request.out / name_of(request, own), overwrite=request.overwrite)
    return jobs


def by_bundle(jobs: Sequence[Job]) -> tuple[tuple[Job, ...], ...]:
    """Return the jobs in their order, those together that make one bundle."""
    groups: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        shared = TARGETS[job.target].one_bundle
        groups.setdefault((job.target, "" if shared else job.precision), []).append(job)
    return tuple(map(tuple, groups.values()))


def _check_weights(request: ExportRequest, row: Variant) -> None:
    """A user's own checkpoint is held to the licence of the weights that it was most likely made from."""
    if request.random_seed is None:
        require_licence(row, accepted=request.license_accepted)
        return
    if request.checkpoint is not None:
        raise RequestError(
            f"{request.model}: --random-weights and --checkpoint {request.checkpoint} exclude each other; give one"
        )
    if not 0 <= request.random_seed < 2**63:
        raise RequestError(f"--random-weights {request.random_seed}: allowed: a seed from 0 to 2^63 - 1")


def _precisions(request: ExportRequest, defaults: tuple[str, ...]) -> tuple[str, ...]:
    asked = combined(request.precisions, request.encoder_precisions, request.decoder_precisions, defaults[0])
    return asked or defaults


def float_precisions(job: Job) -> tuple[str, ...]:
    """Return what the layers of each component that no quantizer touches are exported in.

    Raises:
        RequestError: the precision names more than the two components.
        UnsupportedError: the target cannot do the precision; the text lists those that it can.
    """
    return tuple(_float_precision(job.target, precision) for precision in of_components(job.precision).values())


def _float_precision(target: str, precision: str) -> str:
    floats, quantized_ones = find_target(target).precisions, OF_TARGET.get(target, ())
    if precision in quantized_ones:
        return FLOAT_OF_TARGET[target]
    if precision not in floats:
        raise UnsupportedError(
            f"{target} cannot do {precision!r}; choose one of {', '.join((*floats, *quantized_ones))}"
        )
    return precision


def is_quantized(job: Job) -> bool:
    return not QUANTIZED.isdisjoint(of_components(job.precision).values())


def name_of(request: ExportRequest, jobs: Sequence[Job]) -> str:
    """Return the name of the bundle that the jobs make."""
    return bundle_name(request.model, jobs[0].target, [job.precision for job in jobs])
