"""From what a user asked for to quantized components: by a recipe file, a plan found before, or a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..contract import ComponentName
from ..errors import RequestError
from ..exporters import ExportOptions
from ..models import Component, SamModel
from ..search_record import SearchPoint, SearchRecord
from ..verify.limits import limits_for
from .allocate import allocated
from .describe import resolved_recipe
from .found import found_plan, found_points
from .plan import SCHEMA_VERSION, ComponentPlan, QuantizationPlan
from .recipes import ALLOCATED, SEARCHED, fast_float, require_precision, start_plan
from .search_plans import search_plans
from .task import Progress, QuantizeRequest, Task
from .tries import passes

__all__ = ["QuantizeRequest", "Quantized", "quantized"]

# The fastest that passes; int8 promises something more, which all that were found so far keep.
FOUND_AS: Mapping[str, str] = {"auto": "int8"}


@dataclass(frozen=True, eq=False)
class Quantized:
    """The components of one bundle, the plan that they follow, and what a search measured on the way to it."""

    components: tuple[Component, ...]
    plan: QuantizationPlan
    records: tuple[SearchRecord, ...] = ()


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
    task = Task(model, parts, target, precision, options or ExportOptions(), request, progress)
    plan, records = _given(task)
    if plan is None:
        plan, records = _found_or_made(task)
    return Quantized(tuple(_followed(task, part, plan) for part in task.parts), plan, records)


def _followed(task: Task, part: Component, plan: QuantizationPlan) -> Component:
    """Return the part as its plan says; one that has none stays as it is."""
    name = part.contract.component
    if part not in task.quantized_parts():
        return part
    own = plan.components[name]
    return replace(task.quantizer(part).quantized(own), recipe=resolved_recipe(part, own, task.precisions[name]))


def _given(task: Task) -> tuple[QuantizationPlan | None, tuple[SearchRecord, ...]]:
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


def _found_or_made(task: Task) -> tuple[QuantizationPlan, tuple[SearchRecord, ...]]:
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
        searched, more = search_plans(task, unknown)
        plans.update(searched)
        records += more
    return _plan(task, plans), tuple(records)


def _found_before(task: Task, name: ComponentName) -> tuple[ComponentPlan | None, tuple[SearchRecord, ...]]:
    if task.request.search:
        return None, ()
    variant, checkpoint = task.model.variant.name, task.model.checkpoint_sha256
    precision = FOUND_AS.get(task.precisions[name], task.precisions[name])
    plan, records = found_plan(variant, checkpoint, task.target, precision, task.request.prefer)
    if plan is None or name not in plan.components:
        return None, ()
    if not _reaches_what_is_asked(task, name, found_points(variant, task.target, precision, task.request.prefer)):
        return None, ()
    return _for_this_processor(plan.components[name]), tuple(one for one in records if one.component == name)


def _reaches_what_is_asked(task: Task, name: ComponentName, points: Mapping[ComponentName, SearchPoint]) -> bool:
    """What was found was held to its precision's limits; where more is asked for, its masks must have reached that."""
    own = limits_for(task.precisions[name])
    asked = limits_for(task.precisions[name], task.request.min_iou)
    return asked.mean_iou <= own.mean_iou or (name in points and passes(points[name], asked))


def _for_this_processor(plan: ComponentPlan) -> ComponentPlan:
    """A plan found in bf16 is followed in fp32 where the processor has none: more exact, and the bundle says so."""
    return replace(plan, compute="fp32") if plan.compute == "bf16" and fast_float() != "bf16" else plan


def _started(task: Task, part: Component) -> ComponentPlan:
    name = part.contract.component
    require_precision(task.target, task.precisions[name])
    allocations = ALLOCATED.get(task.precisions[name])
    if allocations is not None:
        return allocated(task, allocations[task.target])[name]
    return start_plan(part, task.target, task.precisions[name])


def _plan(task: Task, plans: dict[ComponentName, ComponentPlan]) -> QuantizationPlan:
    return QuantizationPlan(
        SCHEMA_VERSION,
        task.model.variant.name,
        task.model.checkpoint_sha256,
        task.target,
        task.precision,
        plans,
    )
