"""How many bits each layer's weight gets, so that the masks of a model of a given size change least.

What storing a layer in fewer bits costs is predicted: the error of each of its output channels on the calibration
pictures, times how much the masks change with that channel. Bits then go, one layer at a time, to where a byte saves
most, over both components at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch

from ..contract import ComponentName
from .gradients import Gradients
from .layers import Quantizable, is_depthwise, quantizable_layers
from .plan import WEIGHT_BITS, ComponentPlan, Compute, LayerPlan, Rounding, Weights
from .quantizer import Quantizer, takes_groups
from .recipes import Allocation
from .task import Task

# Below this many weights a layer is not worth a table, nor the risk.
SMALL = 8192
ROUNDING: Rounding = "gptq"
MORE_BITS = "fewer bits would cost the masks more than the bytes are worth"


@dataclass(frozen=True)
class Choice:
    """One way to store one layer. `bytes`: of its weight; `loss`: what it is predicted to do to the masks."""

    component: ComponentName
    plan: LayerPlan
    bytes: float
    loss: float


def allocated(task: Task, allocation: Allocation) -> Mapping[ComponentName, ComponentPlan]:
    """Return plans of the task's quantized components, the bits shared by all of them."""
    quantizers = {part.contract.component: task.quantizer(part) for part in task.quantized_parts()}
    gradients = {name: task.gradients(name) for name in quantizers}
    task.show("allocate bits", 0, 1)
    plans = allocate(quantizers, gradients, allocation.kinds, allocation.average_bits, allocation.compute)
    task.show("allocate bits", 1, 1)
    return plans


def allocate(
    quantizers: Mapping[ComponentName, Quantizer],
    gradients: Mapping[ComponentName, Gradients],
    kinds: tuple[Weights, ...],
    average_bits: float,
    compute: Compute = "fp16",
) -> Mapping[ComponentName, ComponentPlan]:
    """Return plans of both components in which weights have at most so many bits on average.

    Args:
        kinds: what a layer may be stored as; small layers and depthwise convolutions are `int8` whatever they are, and
            instead of `int4` those that are not linear.
        average_bits: of all layers' weights together. If the kinds do not reach down to it, the smallest are taken.
    """
    layers = [
        tuple(sorted(_choices(name, layer, quantizer, gradients[name], kinds), key=lambda choice: choice.bytes))
        for name, quantizer in quantizers.items()
        for layer in quantizable_layers(quantizer.component.module)
    ]
    weights = sum(choices[0].bytes * 8 / WEIGHT_BITS[choices[0].plan.weights] for choices in layers)
    chosen = _fill(layers, average_bits / 8 * weights)
    return {
        name: ComponentPlan(
            compute,
            rounding=ROUNDING,
            correct_biases=True,
            layers=tuple(choice.plan for choice in chosen if choice.component == name),
        )
        for name in quantizers
    }


def _choices(
    component: ComponentName, name: str, quantizer: Quantizer, gradients: Gradients, kinds: tuple[Weights, ...]
) -> Iterator[Choice]:
    layer = quantizable_layers(quantizer.component.module)[name]
    count = layer.weight.numel()
    gradient = gradients.get(name, torch.zeros(len(layer.weight), dtype=torch.float64))
    allowed: tuple[Weights, ...] = tuple(kind for kind in kinds if kind != "int4" or takes_groups(layer))
    reason = _why_8_bits(layer, allowed)
    for kind in ("int8",) if reason else allowed:
        plan = LayerPlan(name, kind, reason=reason)
        loss = float((quantizer.output_error(plan, ROUNDING) * gradient).sum())
        yield Choice(component, plan, count * WEIGHT_BITS[kind] / 8, loss)


def _with_reason(choice: Choice, smallest: Choice) -> Choice:
    return choice if choice is smallest else replace(choice, plan=replace(choice.plan, reason=MORE_BITS))


def _why_8_bits(layer: Quantizable, allowed: tuple[Weights, ...]) -> str:
    """Return why a layer has no choice, "" if it has one."""
    if layer.weight.numel() < SMALL:
        return "few weights: what fewer bits would save is not worth the risk"
    if is_depthwise(layer):
        return "a depthwise convolution: few weights for each output, which fewer bits would move far"
    return "" if allowed else "not linear, or of a width that no group divides: engines have no kernel for fewer bits"


def _fill(layers: list[tuple[Choice, ...]], budget: float) -> list[Choice]:
    """Return one choice for each layer: the smallest, then whatever larger one saves most by the byte and fits."""
    chosen = [choices[0] for choices in layers]
    left = budget - sum(choice.bytes for choice in chosen)
    while True:
        steps = [
            ((now.loss - other.loss) / (other.bytes - now.bytes), index, other)
            for index, now in enumerate(chosen)
            for other in layers[index]
            if now.bytes < other.bytes <= now.bytes + left and other.loss < now.loss
        ]
        if not steps:
            return [_with_reason(choice, choices[0]) for choice, choices in zip(chosen, layers, strict=True)]
        _, index, better = max(steps, key=lambda step: step[0])
        left -= better.bytes - chosen[index].bytes
        chosen[index] = better
