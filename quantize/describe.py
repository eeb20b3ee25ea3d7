"""What a plan came to, in the words and numbers that bundles and reports show."""

from __future__ import annotations

from ..contract import LayerChoice, Recipe
from ..models import Component
from .layers import quantizable_layers
from .plan import WEIGHT_BITS, ComponentPlan, Weights

INPUTS = {"float": "float", "uint8": "8-bit", "dynamic": "dynamic 8-bit", "split": "twice 8-bit"}
SATURATION = (
    "holds for processors with 8-bit dot products (AVX-VNNI, AVX-512 VNNI, Arm's dot product); older x86 ones may "
    "saturate, which selftest() tells"
)
FLOAT32_REASON = "computed in fp32: less cost the masks more than its speed was worth"


def resolved_recipe(component: Component, plan: ComponentPlan, precision: str) -> Recipe:
    """Return the recipe that a graph of this plan carries: every layer that is not like the rest, with its reason."""
    choices = tuple(
        LayerChoice(one.layer, _kind(one.weights, one.inputs), one.reason) for one in plan.layers if one.reason
    )
    kept = tuple(LayerChoice(name, "fp32", FLOAT32_REASON) for name in plan.float32)
    return Recipe(
        precision,
        storage=_storage(plan),
        compute=plan.compute,
        layers=(*choices, *kept),
        notes=(
            f"{share_in_bits(component, plan, 8):.0%} of all parameters in at most 8 bits",
            f"{sum(one.inputs != 'float' for one in plan.layers)} of {len(quantizable_layers(component.module))} "
            "layers computed in integers",
            *_holds_where(plan),
        ),
    )


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


def _kind(weights: str, inputs: str) -> str:
    if weights == "float":
        return "float"
    return f"{weights} weights, {INPUTS[inputs]} inputs"
