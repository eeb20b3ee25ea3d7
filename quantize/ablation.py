"""What each technique brings: one row a technique, every row with all those before it.

Measured as a search measures its tries: the encoder on the search set and on the engine that will run it, in its own
graph, beside the float decoder. The rows go into the record of a search, which the report draws.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from torch import nn

from ..models import Component
from ..search_record import AblationRow, SearchRecord, TryLimits, decode_records, encode_records
from ..staging import staged_file
from ..verify.limits import limits_for
from .describe import resolved_recipe
from .found import found_plan
from .kernels import INTEGER_KERNELS, ROBUST, SPLITTING, everything, layer_plans
from .layers import is_splittable, quantizable_layers
from .plan import ComponentPlan, LayerPlan, Ranges
from .recipes import FLOAT_OF_TARGET, SMOOTHING
from .search_plans import benches
from .task import Task
from .trial import Bench

PRECISION = "int8"
CLIPPED: dict[Ranges, str] = {
    "percentile": "ranges without the outermost 0.01 % of values",
    "mse": "ranges of the least squared error",
    "mask": "ranges of the least error that the masks mind",
}


def steps(component: Component, target: str) -> Iterator[tuple[str, ComponentPlan]]:
    """Yield each technique's label and plan. Clipped ranges are weighed alone: smoothing does better in their place."""
    plan = ComponentPlan(FLOAT_OF_TARGET[target], layers=layer_plans(component, everything))
    yield "all weights and inputs in 8 bits: nearest rounding, min-max ranges", plan
    for ranges, label in CLIPPED.items():
        yield f"the same with {label}", replace(plan, ranges=ranges)
    fast = layer_plans(component, INTEGER_KERNELS.get(target, ROBUST[target]))
    if fast != plan.layers:
        plan = replace(plan, layers=fast)
        yield "min-max ranges, small convolutions in float", plan
    plan = replace(plan, smoothing=SMOOTHING)
    yield "and smoothing", plan
    plan = replace(plan, rounding="gptq")
    yield "and GPTQ", plan
    plan = replace(plan, correct_biases=True)
    yield "and corrected biases", plan
    if target in SPLITTING:
        yield "and the inputs and weights of convolutions rounded twice", replace(plan, layers=_split(component, plan))


def _split(component: Component, plan: ComponentPlan) -> tuple[LayerPlan, ...]:
    """Return the layers, convolutions rounded twice where one product can hold both."""
    layers = quantizable_layers(component.module)
    twice = {name for name, layer in layers.items() if isinstance(layer, nn.Conv2d) and is_splittable(layer)}
    return tuple(replace(one, inputs="split") if one.layer in twice else one for one in plan.layers)


def ablate(task: Task) -> SearchRecord:
    """Return a record that holds nothing but the rows of the encoder's techniques, the plan that ships last.

    Raises:
        NotVerifiableError: the model's weights are not trained, so that no mask says anything.
    """
    part = task.parts[0]
    ways = [*steps(part, task.target), *_shipped(task, part)]
    rows = []
    with benches(task) as of_component:
        bench = of_component[part.contract.component]
        for done, (label, plan) in enumerate(ways):
            task.show("ablation", done, len(ways))
            rows.append(_row(label, plan, task, part, bench))
        task.show("ablation", len(ways), len(ways))
        engine = bench.baseline.report
    limits = limits_for(PRECISION)
    return SearchRecord(
        part.contract.component,
        "speed",
        f"{engine.engine} {engine.version}, {engine.device}",
        engine.threads,
        TryLimits(limits.mean_iou, limits.worst_iou),
        ablation=tuple(rows),
    )


def _shipped(task: Task, part: Component) -> Iterator[tuple[str, ComponentPlan]]:
    variant, checkpoint = task.model.variant.name, task.model.checkpoint_sha256
    plan, _ = found_plan(variant, checkpoint, task.target, PRECISION)
    if plan is not None and part.contract.component in plan.components:
        yield "what the search found", plan.components[part.contract.component]


def _row(label: str, plan: ComponentPlan, task: Task, part: Component, bench: Bench) -> AblationRow:
    made = replace(task.quantizer(part).quantized(plan), recipe=resolved_recipe(part, plan, PRECISION))
    score = bench.score(made)
    return AblationRow(
        label,
        score.stable_mean,
        score.stable_worst,
        score.harsh_mean,
        score.harsh_p5,
        embeddings_snr_db=None,
        latency_ratio=score.latency,
        bytes=score.bytes,
    )


def into_record(path: Path, made: SearchRecord) -> None:
    """Write the rows into the record of the component's search, or a new record where there is no file.

    Raises:
        RequestError: the file is no record of a search.
        OutputError: the file cannot be written.
    """
    known = decode_records(path.read_bytes(), str(path)) if path.exists() else ()
    of_component = [one for one in known if one.component == made.component]
    merged = [replace(one, ablation=made.ablation) for one in of_component] or [made]
    others = [one for one in known if one.component != made.component]
    with staged_file(path) as partial:
        partial.write_bytes(encode_records((*merged, *others)))
