"""Which modules stay in fp32 where the rest of a component computes in fp16 or bf16, and that does not do.

What does not fit into fp16 has to, and is known from the PyTorch module; what costs the masks too much is found by the
search that other precisions have, over whole stages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ..contract import ComponentName
from ..errors import ConversionError, NotVerifiableError
from ..exporters.tool import tool_version
from ..models import Component
from ..search_record import SearchRecord
from ..verification import Limits
from ..verify.limits import FP32, limits_for
from ..verify.pictures import picture_set
from ..verify.ranges import FLOAT16_MAX, PICTURES, Peak, peaks, too_large
from .calibration import Calibration
from .describe import FLOAT32_REASON
from .layers import quantizable_layers
from .plan import ComponentPlan, Compute, LayerPlan
from .quantizer import Quantizer
from .record import search_record
from .search import Search
from .search_plans import float_benches, state_file_of
from .task import Task
from .trial import Bench
from .tries import choose

# Precisions in which a module may stay in fp32, and what the rest computes in.
HALVES: Mapping[str, Compute] = {"fp16": "fp16", "bf16": "bf16"}


@dataclass(frozen=True, eq=False)
class KeptFloat:
    """The components with more modules in fp32, each with the reason, and the searches that found them."""

    components: dict[ComponentName, Component] = field(default_factory=dict)
    records: tuple[SearchRecord, ...] = ()


def kept_in_float32(task: Task) -> KeptFloat:
    """Return the components of half a precision that need more of their modules in fp32; none where nothing helps."""
    found, records = dict[ComponentName, Component](), []
    for part in task.parts:
        name = part.contract.component
        limits = limits_for(task.precision, task.request.min_iou)
        # What fp32 is not held to, no module in fp32 brings.
        if task.precisions[name] not in HALVES or limits.mean_iou > FP32.mean_iou:
            continue
        wide = _too_wide(task, part)
        plan, record = _searched(task, part, tuple(wide), limits) if task.model.weights_trained else (None, None)
        modules = tuple(wide) if plan is None else plan.float32
        if modules:
            found[name] = _with_float32(part, modules, wide)
            records += [] if record is None else [record]
    return KeptFloat(found, tuple(records))


def _too_wide(task: Task, part: Component) -> dict[str, Peak]:
    """Return the modules whose numbers do not fit into fp16 on the search's pictures; code outside of all cannot be."""
    if task.precisions[part.contract.component] != "fp16":
        return {}
    task.show(f"{part.contract.component}: ranges", 0, 1)
    feeds = Calibration(task.model, picture_set("search")[:PICTURES]).feeds(part)
    found = too_large(part, peaks(part, feeds))
    task.show(f"{part.contract.component}: ranges", 1, 1)
    return {name: peak for name, peak in found.items() if name}


def _searched(
    task: Task, part: Component, wide: tuple[str, ...], limits: Limits
) -> tuple[ComponentPlan | None, SearchRecord | None]:
    """Return the plan with the fewest weights in fp32 that passes, None where none does."""
    name = part.contract.component
    precision = task.precisions[name]
    with float_benches(task, "fp32") as of_component:
        bench = replace(of_component[name], base_precision=precision)
        search = _search(task, part, bench, wide, limits)
        try:
            state = search.run()
            chosen = choose(state, limits, "size", f"{task.subject} {name}")
        except (ConversionError, NotVerifiableError):
            return None, None
    if search.state_file is not None:
        search.state_file.unlink(missing_ok=True)
    return chosen.plan, search_record(name, state, limits, "size", bench.baseline.report, chosen=chosen)


def _search(task: Task, part: Component, bench: Bench, wide: tuple[str, ...], limits: Limits) -> Search:
    precision = task.precisions[part.contract.component]
    layers = tuple(LayerPlan(name) for name in quantizable_layers(part.module))
    return Search(
        quantizer=Quantizer(part, Calibration(task.model, ())),  # nothing is rounded to what calibration saw
        gradients=dict,
        bench=bench,
        start=ComponentPlan(HALVES[precision], float32=wide, layers=layers),
        precision=precision,
        limits=limits,
        prefer="size",
        state_file=state_file_of(task, part.contract.component),
        budget=60 * task.request.minutes,
        progress=task.progress,
        origin=tool_version(),
    )


def _with_float32(part: Component, modules: tuple[str, ...], wide: Mapping[str, Peak]) -> Component:
    reasons = dict.fromkeys(modules, FLOAT32_REASON)
    for name, peak in wide.items():
        reasons[name] = f"{peak.where} reaches {peak.value:.3g}, fp16 ends at {FLOAT16_MAX:g}"
    return replace(
        part,
        float32_modules=(*part.float32_modules, *modules),
        float32_reasons={**part.float32_reasons, **reasons},
    )
