"""From what a user asked for to quantized components: by a recipe file, a plan found before, or a search."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from ..contract import ComponentName, Session
from ..errors import NotVerifiableError, OutputError, RequestError
from ..exporters import ExportOptions, export
from ..exporters.tool import tool_version
from ..models import Component, SamModel
from ..precision import of_components
from ..search_record import SearchRecord
from ..verify.evaluators import evaluation_session
from ..verify.limits import limits_for
from ..verify.pictures import Picture, picture_set
from ..verify.suite import build_suite
from .allocate import allocate
from .calibration import Calibration
from .describe import resolved_recipe, share_in_bits
from .found import found_plan
from .gradients import Gradients, mask_gradients
from .plan import SCHEMA_VERSION, ComponentPlan, QuantizationPlan
from .quantizer import Quantizer
from .recipes import (
    ALLOCATED,
    FLOAT_OF_TARGET,
    QUANTIZED_PRECISIONS,
    SEARCHED,
    Allocation,
    fast_float,
    require_precision,
    start_plan,
)
from .record import search_record
from .search import Prefer, Search, choose
from .trial import Bench

Progress = Callable[[str, int, int], None]

# They rank layers, whose harms differ by orders of magnitude.
GRADIENT_PICTURES = 4
# What a precision promises, in shares of a component's parameters in at most 8 bits.
LEAST_SHARE: Mapping[str, float] = {"int8": 0.9}
# The fastest that passes; int8 promises something more, which all that were found so far keep.
FOUND_AS: Mapping[str, str] = {"auto": "int8"}


@dataclass(eq=False)
class Seen:
    """What was observed on calibration pictures, by component and pictures: it takes minutes, and all jobs of a request
    share it."""

    quantizers: dict[tuple[Component, tuple[str, ...]], Quantizer] = field(default_factory=dict)
    gradients: dict[tuple[Component, tuple[str, ...]], Mapping[ComponentName, Gradients]] = field(default_factory=dict)


@dataclass(frozen=True)
class QuantizeRequest:
    """`calibration` empty: the built-in set. `recipe`: a plan to follow instead of finding one. `search`: find one
    even if there is one already. `minutes`: how long a search may begin new tries. `state_folder`: where a search that
    is stopped leaves what it measured, to go on from there; None for nowhere."""

    prefer: Prefer = "speed"
    recipe: QuantizationPlan | None = None
    search: bool = False
    minutes: float = 30.0
    calibration: tuple[Picture, ...] = ()
    state_folder: Path | None = None
    seen: Seen = field(default_factory=Seen, compare=False)


@dataclass(frozen=True, eq=False)
class Quantized:
    """The components of one bundle, the plan that they follow, and what a search measured on the way to it."""

    components: tuple[Component, ...]
    plan: QuantizationPlan
    records: tuple[SearchRecord, ...] = ()


@dataclass(frozen=True, eq=False)
class _Task:
    model: SamModel
    parts: tuple[Component, ...]
    target: str
    precision: str
    options: ExportOptions
    request: QuantizeRequest
    progress: Progress | None

    @property
    def precisions(self) -> Mapping[ComponentName, str]:
        return of_components(self.precision)

    def quantized_parts(self) -> tuple[Component, ...]:
        """Return the parts that are to be quantized; the others stay as they are."""
        return tuple(part for part in self.parts if self.precisions[part.contract.component] in QUANTIZED_PRECISIONS)

    @property
    def subject(self) -> str:
        return f"{self.model.variant.name} {self.target} {self.precision}"

    @property
    def pictures(self) -> tuple[Picture, ...]:
        return self.request.calibration or picture_set("calibration")

    def quantizer(self, part: Component) -> Quantizer:
        known, key = self.request.seen.quantizers, (part, _hashes(self.pictures))
        if key not in known:
            self.show(f"{part.contract.component}: calibrate", 0, 1)
            known[key] = Quantizer(part, Calibration(self.model, self.pictures))
            self.show(f"{part.contract.component}: calibrate", 1, 1)
        return known[key]

    def gradients(self, component: ComponentName) -> Gradients:
        pictures = self.pictures[:GRADIENT_PICTURES]
        known, key = self.request.seen.gradients, (self.parts[0], _hashes(pictures))
        if key not in known:
            self.show("gradients", 0, 1)
            known[key] = mask_gradients(self.model, self.parts, pictures)
            self.show("gradients", 1, 1)
        return known[key][component]

    def show(self, stage: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(stage, done, total)


def _hashes(pictures: Sequence[Picture]) -> tuple[str, ...]:
    return tuple(picture.sha256 for picture in pictures)


def quantized(
    model: SamModel,
    parts: tuple[Component, ...],
    target: str,
    precision: str,
    request: QuantizeRequest,
    options: ExportOptions | None = None,
    progress: Progress | None = None,
) -> Quantized:
    """Return the model's components `parts` quantized for a target.

    Raises:
        UnsupportedError: the target cannot do the precision.
        RequestError: the recipe is for another model or target.
        NotVerifiableError: a search found nothing that passes.
    """
    task = _Task(model, parts, target, precision, options or ExportOptions(), request, progress)
    plan, records = _given(task)
    if plan is None:
        plan, records = _found_or_made(task)
    return Quantized(tuple(_followed(task, part, plan) for part in task.parts), plan, records)


def _followed(task: _Task, part: Component, plan: QuantizationPlan) -> Component:
    """Return the part as its plan says; one that has none stays as it is."""
    name = part.contract.component
    if part not in task.quantized_parts():
        return part
    own = plan.components[name]
    return replace(task.quantizer(part).quantized(own), recipe=resolved_recipe(part, own, task.precisions[name]))


def _given(task: _Task) -> tuple[QuantizationPlan | None, tuple[SearchRecord, ...]]:
    """Return the plan of a file, checked."""
    plan = task.request.recipe
    if plan is None:
        return None, ()
    wanted = (task.model.variant.name, task.target)
    if (plan.model, plan.target) != wanted:
        raise RequestError(
            f"the recipe is for {plan.model} on {plan.target}, asked for is {wanted[0]} on {wanted[1]}; "
            "give the recipe.json of a bundle of this model and target"
        )
    missing = [name for part in task.quantized_parts() if (name := part.contract.component) not in plan.components]
    if missing:
        raise RequestError(
            f"the recipe has no {missing[0]}, asked for is {task.precision}; "
            "give the recipe.json of a bundle of this precision, or leave that component in float"
        )
    return plan, ()


def _found_or_made(task: _Task) -> tuple[QuantizationPlan, tuple[SearchRecord, ...]]:
    """Return the plan of each component: one found beforehand, one that a search finds now, or its precision's own."""
    plans: dict[ComponentName, ComponentPlan] = {}
    records: list[SearchRecord] = []
    unknown = []
    for part in task.quantized_parts():
        name = part.contract.component
        found, record = _found_before(task, name)
        if found is not None:
            plans[name] = found
            records += record
        elif task.precisions[name] in SEARCHED:
            unknown.append(part)
        else:
            plans[name] = _started(task, part)
    if unknown:
        searched, more = _searched(task, unknown)
        plans.update(searched)
        records += more
    return _plan(task, plans), tuple(records)


def _found_before(task: _Task, name: ComponentName) -> tuple[ComponentPlan | None, tuple[SearchRecord, ...]]:
    if task.request.search or task.request.prefer != "speed":
        return None, ()
    variant, checkpoint = task.model.variant.name, task.model.checkpoint_sha256
    precision = FOUND_AS.get(task.precisions[name], task.precisions[name])
    plan, records = found_plan(variant, checkpoint, task.target, precision)
    if plan is None or name not in plan.components:
        return None, ()
    return _for_this_processor(plan.components[name]), tuple(one for one in records if one.component == name)


def _for_this_processor(plan: ComponentPlan) -> ComponentPlan:
    """A plan found in bf16 is followed in fp32 where the processor has none: more exact, and the bundle says so."""
    return replace(plan, compute="fp32") if plan.compute == "bf16" and fast_float() != "bf16" else plan


def _started(task: _Task, part: Component) -> ComponentPlan:
    name = part.contract.component
    require_precision(task.target, task.precisions[name])
    allocation = ALLOCATED.get(task.precisions[name])
    if allocation is not None:
        return _allocated(task, allocation)[name]
    return start_plan(part, task.target, task.precisions[name])


def _allocated(task: _Task, allocation: Allocation) -> Mapping[ComponentName, ComponentPlan]:
    quantizers = {part.contract.component: task.quantizer(part) for part in task.quantized_parts()}
    gradients = {name: task.gradients(name) for name in quantizers}
    task.show("allocate bits", 0, 1)
    plans = allocate(quantizers, gradients, allocation.kinds, allocation.average_bits)
    task.show("allocate bits", 1, 1)
    return plans


def _plan(task: _Task, plans: dict[ComponentName, ComponentPlan]) -> QuantizationPlan:
    return QuantizationPlan(
        SCHEMA_VERSION,
        task.model.variant.name,
        task.model.checkpoint_sha256,
        task.target,
        task.precision,
        plans,
    )


def _searched(
    task: _Task, parts: Sequence[Component]
) -> tuple[dict[ComponentName, ComponentPlan], tuple[SearchRecord, ...]]:
    """Search each component beside the float other one, whose session both searches share."""
    suite = build_suite(task.model, picture_set("search"), progress=task.progress)
    plans: dict[ComponentName, ComponentPlan] = {}
    records: list[SearchRecord] = []
    with tempfile.TemporaryDirectory(prefix="sam-export-") as folder:
        floats = _float_sessions(task, Path(folder))
        for part in parts:
            name = part.contract.component
            partner = next(session for other, session in floats.items() if other != name)
            bench = Bench(name, task.target, FLOAT_OF_TARGET[task.target], task.options, suite, floats[name], partner)
            plans[name], record = _search(task, part, bench)
            records.append(record)
    for name in plans:
        state_file = _state_file(task, name)
        if state_file is not None:
            state_file.unlink(missing_ok=True)  # done: the next search measures anew
    return plans, tuple(records)


def _search(task: _Task, part: Component, bench: Bench) -> tuple[ComponentPlan, SearchRecord]:
    name = part.contract.component
    precision, prefer = task.precisions[name], task.request.prefer
    limits = limits_for(precision)
    search = Search(
        task.quantizer(part),
        partial(task.gradients, name),
        bench,
        start_plan(part, task.target, precision),
        precision,
        limits,
        prefer,
        _state_file(task, name),
        60 * task.request.minutes,
        task.progress,
        " ".join((tool_version(), *_hashes(task.pictures))),
    )
    state = search.run()
    chosen = choose(state, limits, prefer, f"{task.subject} {name}")
    _require_share(f"{task.subject} {name}", part, precision, chosen.plan)
    return chosen.plan, search_record(name, state, limits, prefer, bench.baseline.report, chosen=chosen)


def _require_share(subject: str, part: Component, precision: str, plan: ComponentPlan) -> None:
    """Raise NotVerifiableError if a plan has fewer weights in 8 bits than its precision promises."""
    share, least = share_in_bits(part, plan, 8), LEAST_SHARE.get(precision, 0.0)
    if share < least:
        raise NotVerifiableError(
            f"{subject}: the best that passes has {share:.0%} of its parameters in at most 8 bits, {precision} "
            f"promises {least:.0%}; take --precision auto, which promises none"
        )


def _float_sessions(task: _Task, folder: Path) -> dict[ComponentName, Session]:
    graphs = [export(part, task.target, FLOAT_OF_TARGET[task.target], folder, task.options) for part in task.parts]
    return {graph.contract.component: evaluation_session(graph)[0] for graph in graphs}


def _state_file(task: _Task, name: ComponentName) -> Path | None:
    folder = task.request.state_folder
    if folder is None:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise OutputError(
            f"{folder}: a search keeps what it measured there ({exc.strerror or exc}); set SAM_EXPORT_CACHE"
        ) from exc
    return folder / f"{task.subject.replace(' ', '-')}-{name}.json"
