"""From what a user asked for to quantized components: by a recipe file, a plan found before, or a search."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from weakref import WeakKeyDictionary

from ..contract import ComponentName, Session
from ..errors import RequestError
from ..exporters import ExportOptions, export
from ..models import Component, SamModel
from ..search_record import SearchRecord
from ..verify.evaluators import evaluation_session
from ..verify.limits import limits_for
from ..verify.pictures import Picture, picture_set
from ..verify.suite import build_suite
from .calibration import Calibration
from .describe import resolved_recipe
from .found import found_plan
from .gradients import Gradients, mask_gradients
from .plan import SCHEMA_VERSION, ComponentPlan, QuantizationPlan
from .quantizer import Quantizer
from .recipes import FLOAT_OF_TARGET, SEARCHED, start_plan
from .record import search_record
from .search import Prefer, Search, choose
from .trial import Bench

Progress = Callable[[str, int, int], None]

# They rank layers, whose harms differ by orders of magnitude.
GRADIENT_PICTURES = 4


@dataclass(frozen=True)
class QuantizeRequest:
    """`calibration` empty: the built-in set. `recipe`: a plan to follow instead of finding one. `search`: find one
    even if there is one already. `minutes`: how long a search may begin new tries."""

    prefer: Prefer = "speed"
    recipe: QuantizationPlan | None = None
    search: bool = False
    minutes: float = 30.0
    calibration: tuple[Picture, ...] = ()
    state_folder: Path | None = None


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
    def subject(self) -> str:
        return f"{self.model.variant.name} {self.target} {self.precision}"

    def quantizer(self, part: Component) -> Quantizer:
        pictures = self.request.calibration or picture_set("calibration")
        known = _OBSERVED.setdefault(part, {})
        key = tuple(picture.sha256 for picture in pictures)
        if key not in known:
            self.show(f"{part.contract.component}: calibrate", 0, 1)
            known[key] = Quantizer(part, Calibration(self.model, pictures))
            self.show(f"{part.contract.component}: calibrate", 1, 1)
        return known[key]

    def gradients(self, component: ComponentName) -> Gradients:
        pictures = (self.request.calibration or picture_set("calibration"))[:GRADIENT_PICTURES]
        return mask_gradients(self.model, self.parts, pictures)[component]

    def show(self, stage: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(stage, done, total)


# Observing a component takes minutes; all jobs of a request share what was seen.
_OBSERVED: WeakKeyDictionary[Component, dict[tuple[str, ...], Quantizer]] = WeakKeyDictionary()


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
        plan, records = _searched(task) if precision in SEARCHED else (_started(task), ())
    results = []
    for part in task.parts:
        own = plan.components[part.contract.component]
        result = task.quantizer(part).quantized(own)
        results.append(replace(result, recipe=resolved_recipe(part, own, precision)))
    return Quantized(tuple(results), plan, records)


def _given(task: _Task) -> tuple[QuantizationPlan | None, tuple[SearchRecord, ...]]:
    """Return the plan of a file, checked, or one that was found before with the record of how."""
    plan = task.request.recipe
    if plan is None:
        if task.request.search or task.request.prefer != "speed":
            return None, ()
        return found_plan(task.model.variant.name, task.model.checkpoint_sha256, task.target, task.precision)
    wanted = (task.model.variant.name, task.target)
    if (plan.model, plan.target) != wanted:
        raise RequestError(
            f"the recipe is for {plan.model} on {plan.target}, asked for is {wanted[0]} on {wanted[1]}; "
            "give the recipe.json of a bundle of this model and target"
        )
    return plan, ()


def _started(task: _Task) -> QuantizationPlan:
    return _plan(task, {part.contract.component: start_plan(part, task.target, task.precision) for part in task.parts})


def _plan(task: _Task, plans: dict[ComponentName, ComponentPlan]) -> QuantizationPlan:
    return QuantizationPlan(
        SCHEMA_VERSION,
        task.model.variant.name,
        task.model.checkpoint_sha256,
        task.target,
        task.precision,
        plans,
    )


def _searched(task: _Task) -> tuple[QuantizationPlan, tuple[SearchRecord, ...]]:
    """Search each component beside the float other one, whose session both searches share."""
    limits = limits_for(task.precision)
    suite = build_suite(task.model, picture_set("search"), progress=task.progress)
    plans: dict[ComponentName, ComponentPlan] = {}
    records: list[SearchRecord] = []
    with tempfile.TemporaryDirectory(prefix="sam-export-") as folder:
        floats = _float_sessions(task, Path(folder))
        for part in task.parts:
            name = part.contract.component
            start = start_plan(part, task.target, task.precision)
            partner = next(session for other, session in floats.items() if other != name)
            bench = Bench(name, task.target, FLOAT_OF_TARGET[task.target], task.options, suite, floats[name], partner)
            search = Search(
                task.quantizer(part),
                partial(task.gradients, name),
                bench,
                start,
                task.precision,
                limits,
                task.request.prefer,
                _state_file(task, name),
                60 * task.request.minutes,
                task.progress,
            )
            state, prefer = search.run(), task.request.prefer
            chosen = choose(state, limits, prefer, f"{task.subject} {name}")
            plans[name] = chosen.plan
            records.append(search_record(name, state, limits, prefer, floats[name].report, chosen=chosen))
    return _plan(task, plans), tuple(records)


def _float_sessions(task: _Task, folder: Path) -> dict[ComponentName, Session]:
    graphs = [export(part, task.target, FLOAT_OF_TARGET[task.target], folder, task.options) for part in task.parts]
    return {graph.contract.component: evaluation_session(graph)[0] for graph in graphs}


def _state_file(task: _Task, name: ComponentName) -> Path | None:
    folder = task.request.state_folder
    if folder is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{task.subject.replace(' ', '-')}-{name}.json"
