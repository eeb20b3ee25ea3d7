"""What a search may do with a group of layers, or with a module, instead of rounding inputs once: a level, by name.

encoder.layers.0.blocks.*.conv1          inputs in float
split encoder.layers.0.blocks.*.conv1    inputs rounded twice, in one integer product
fp32 encoder.layers.0                    what is not rounded in this module computes in fp32
fp32                                     the same of the whole component
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ..models import Component
from ..search_record import FLOAT32, SPLIT
from .groups import float32_groups, grouped
from .layers import is_splittable, quantizable_layers
from .plan import ComponentPlan, LayerPlan

# In shares of all weights.
SMALL_LAYER = 0.003
LEFT_OUT = "its input in 8 bits cost more mask IoU than its speed was worth"
SPLIT_UP = "its input rounded once cost more mask IoU than its speed was worth"


@dataclass(frozen=True, eq=False)
class Levels:
    """The levels that a plan's layers can be lifted to. `splits`: whether the engine gains by rounding twice."""

    component: Component
    start: ComponentPlan
    splits: bool = False

    @property
    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Return the layers of each group whose inputs the start rounds."""
        return grouped(plan.layer for plan in self.start.layers if plan.inputs != "float")

    @property
    def float32(self) -> Mapping[str, str]:
        """Return the modules that may compute in fp32, where the rest does not, by level; "" is all of them.

        All of them only where integers remain, and where bf16 is how the engine computes, not how the graph is stored.
        """
        if self.start.compute == "fp32":
            return {}
        rounded = any(plan.weights != "float" for plan in self.start.layers)
        whole = {FLOAT32: ""} if rounded and self.start.compute == "bf16" else {}
        return {**whole, **float32_groups(plan.layer for plan in self.start.layers)}

    def of_group(self, group: str) -> tuple[str, ...]:
        """Return the levels of a group, the faster first."""
        return (SPLIT + group, group) if self.splits and self._splittable(group) else (group,)

    def lower(self, chosen: tuple[str, ...], name: str) -> tuple[tuple[str, ...], ...]:
        """Return what to try instead of one of the chosen levels, the fastest first."""
        without = tuple(other for other in chosen if other != name)
        levels = self.of_group(name) if name in self.groups else ()
        return (without, *((*without, level) for level in levels[:-1]))

    def plan(self, chosen: tuple[str, ...]) -> ComponentPlan:
        """Return the plan with these levels."""
        groups, modules = self.groups, self.float32
        left = frozenset(layer for name in chosen for layer in groups.get(name, ()))
        split = frozenset(layer for name in chosen for layer in groups.get(name.removeprefix(SPLIT), ()))
        plan = _split_up(left_out(self.start, left, self.component, LEFT_OUT), split - left)
        if FLOAT32 in chosen:
            return replace(plan, compute="fp32")
        found = (modules[name] for name in chosen if name in modules)
        return replace(plan, float32=tuple(dict.fromkeys((*self.start.float32, *found))))

    def _splittable(self, group: str) -> bool:
        layers = quantizable_layers(self.component.module)
        return all(is_splittable(layers[name]) for name in self.groups[group])


def distinct(chosen: Iterable[str]) -> tuple[str, ...]:
    """Return the levels without those that another one of them makes idle."""
    names = tuple(chosen)
    idle = {SPLIT + name for name in names}
    if FLOAT32 in names:
        idle |= {name for name in names if name.startswith(f"{FLOAT32} ")}
    return tuple(name for name in names if name not in idle)


def left_out(plan: ComponentPlan, layers: frozenset[str], component: Component, reason: str) -> ComponentPlan:
    """Return the plan with the inputs and outputs of these layers in float.

    Their weights stay as they are stored, but for small ones: 8 bits save little there, and the first stages' cost
    more mask IoU than the rest of the weights.
    """
    weights = {name: layer.weight.numel() for name, layer in quantizable_layers(component.module).items()}
    small = SMALL_LAYER * sum(weights.values())
    return replace(
        plan,
        layers=tuple(
            LayerPlan(one.layer, "float" if weights[one.layer] < small else one.weights, reason=reason)
            if one.layer in layers
            else one
            for one in plan.layers
        ),
    )


def _split_up(plan: ComponentPlan, layers: frozenset[str]) -> ComponentPlan:
    return replace(
        plan,
        layers=tuple(
            replace(one, inputs="split", reason=SPLIT_UP) if one.layer in layers else one for one in plan.layers
        ),
    )
