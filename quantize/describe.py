"""What a plan came to, in the words and numbers that bundles and reports show."""

from __future__ import annotations

from dataclasses import replace

from ..contract import LayerChoice, Recipe
from ..models import Component
from .layers import quantizable_layers
from .plan import WEIGHT_BITS, ComponentPlan, LayerPlan, Weights

INPUTS = {"float": "float", "uint8": "8-bit", "dynamic": "dynamic 8-bit", "split": "twice 8-bit"}
SATURATION = (
    "holds for processors with 8-bit dot products (AVX-VNNI, AVX-512 VNNI, Arm's dot product); older x86 ones may "
    "saturate, which selftest() tells"
)
# Precisions whose rule is that inputs are rounded, so that a layer whose are not is an exception.
ROUNDS_INPUTS = frozenset({"w8a8", "w8a8-dynamic", "int8", "auto"})
WEIGHTS_ONLY = "no input of this component is rounded: integers would save it less than they cost the masks"
ONE_OF_FEW = "left in float: its input in 8 bits costs more than it saves"
NEVER_ROUNDED = "attention's own products, norms, softmax, activations and sums compute in float: no recipe rounds them"
FLOAT32_REASON = "computed in fp32: less cost the masks more than its speed was worth"


def resolved_recipe(component: Component, plan: ComponentPlan, precision: str) -> Recipe:
    """Return the recipe that a graph of this plan carries: every layer that is not like the rest, with its reason.

    Where the precision rounds inputs, that is every layer with inputs in float; `*` stands for all of them alike.
    """
    layers = [plan.of(name) for name in quantizable_layers(component.module)]
    choices = tuple(
        LayerChoice(one.layer, _kind(one.weights, one.inputs), reason)
        for one in layers
        if (reason := one.reason or _why_float(one, plan, precision))
    )
    kept = tuple(LayerChoice(name, "fp32", FLOAT32_REASON) for name in plan.float32)
    return Recipe(
        precision,
        storage=_storage(plan),
        compute=plan.compute,
        layers=(*_joined(choices, len(layers)), *kept),
        notes=(
            f"{share_in_bits(component, plan, 8):.0%} of all parameters in at most 8 bits",
            f"{sum(one.inputs != 'float' for one in plan.layers)} of {len(layers)} layers computed in integers",
            *_never_rounded(plan),
            *_holds_where(plan),
        ),
    )


def _why_float(layer: LayerPlan, plan: ComponentPlan, precision: str) -> str:
    """Return the reason of a layer whose plan gives none, as those of older recipes do."""
    if precision not in ROUNDS_INPUTS or layer.inputs != "float":
        return ""
    return ONE_OF_FEW if any(one.inputs != "float" for one in plan.layers) else WEIGHTS_ONLY


def _joined(choices: tuple[LayerChoice, ...], layers: int) -> tuple[LayerChoice, ...]:
    alike = len({(one.precision, one.reason) for one in choices}) == 1 and len(choices) == layers > 1
    return (replace(choices[0], pattern="*"),) if alike else choices


def _never_rounded(plan: ComponentPlan) -> tuple[str, ...]:
    return (NEVER_ROUNDED,) if any(one.inputs != "float" for one in plan.layers) else ()


def _holds_where(plan: ComponentPlan) -> tuple[str, ...]:
    """Unsigned by signed products are added in pairs, in 16 bits, where a processor has no instruction for four."""
    integer = any(one.inputs != "float" for one in plan.layers)
    return (SATURATION,) if integer and plan.compute != "fp16" else ()


def _storage(plan: ComponentPlan) -> str:
    """Return what weights are stored as, in the order of their size: `int8`, or `lut4, lut6, int8`."""
    kinds: set[Weights] = {one.weights for one in plan.layers if one.weights != "float"}
    ordered: list[Weights] = sorted(kinds, key=WEIGHT_BITS.__getitem__)
    return ", ".join(ordered) or plan.compute


def share_in_bits(component: Component, plan: ComponentPlan, bits: int) -> float:
    """Return how much of the component's floating-point weights the plan stores in at most so many bits."""
    layers = quantizable_layers(component.module)
    small = sum(layer.weight.numel() for name, layer in layers.items() if WEIGHT_BITS[plan.of(name).weights] <= bits)
    return small / sum(parameter.numel() for parameter in component.module.parameters())


def average_bits(component: Component, plan: ComponentPlan) -> float:
    """Return how many bits the weights of the layers have on average."""
    counts = {name: layer.weight.numel() for name, layer in quantizable_layers(component.module).items()}
    stored = sum(count * WEIGHT_BITS[plan.of(name).weights] for name, count in counts.items())
    return stored / sum(counts.values())


def _kind(weights: str, inputs: str) -> str:
    if weights == "float":
        return "float"
    return f"{weights} weights, {INPUTS[inputs]} inputs"
