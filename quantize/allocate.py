"""How many bits each layer's weight gets, so that the masks of a model of a given size change least.

What storing a layer in fewer bits costs is predicted: the error of each of its output channels on the calibration
pictures, times how much the masks change with that channel. Bits then go, one layer at a time, to where a byte saves
most, over both components at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from ..contract import ComponentName
from .gradients import Gradients
from .layers import is_depthwise, quantizable_layers
from .plan import WEIGHT_BITS, ComponentPlan, Compute, LayerPlan, Rounding, Weights
from .quantizer import Quantizer, takes_groups

# Below this many weights a layer is not worth a table, nor the risk.
SMALL = 8192
ROUNDING: Rounding = "gptq"


@dataclass(frozen=True)
class Choice:
    """One way to store one layer. `bytes`: of its weight; `loss`: what it is predicted to do to the masks."""

    component: ComponentName
    plan: LayerPlan
    bytes: float
    loss: float


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
    allowed = tuple(kind for kind in kinds if kind != "int4" or takes_groups(layer))
    for kind in ("int8",) if count < SMALL or is_depthwise(layer) or not allowed else allowed:
        plan = LayerPlan(name, kind)
        loss = float((quantizer.output_error(plan, ROUNDING) * gradient).sum())
        yield Choice(component, plan, count * WEIGHT_BITS[kind] / 8, loss)


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
            return chosen
        _, index, better = max(steps, key=lambda step: step[0])
        left -= better.bytes - chosen[index].bytes
        chosen[index] = better
