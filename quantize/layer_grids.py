"""The grids of one layer: of its weight, its input and its output, as the plan asks and the pictures showed."""

from __future__ import annotations

from typing import Literal

import torch

from .grids import Grid, clipped_range, group_grid, range_grid, weight_grid
from .layers import ENLARGED, Quantizable, is_depthwise
from .observe import LayerObservation, TensorRange
from .plan import WEIGHT_BITS, ComponentPlan, LayerPlan


def layer_weight_grid(layer: Quantizable, wanted: LayerPlan) -> Grid:
    """Return the grid of each output channel, or with 4 bits of each group of inputs."""
    if wanted.weights != "int4":
        return weight_grid(layer.weight, WEIGHT_BITS[wanted.weights])
    return group_grid(layer.weight.detach())


def inputs_grid(
    layer: Quantizable, wanted: LayerPlan, plan: ComponentPlan, seen: LayerObservation
) -> Grid | Literal["dynamic"] | None:
    match wanted.inputs:
        case "float" | "split":
            return None
        case "dynamic":
            return "dynamic"
        case "uint8":
            return values_grid(seen.inputs, plan, per_channel=is_depthwise(layer))


def split_grid(seen: TensorRange, plan: ComponentPlan) -> Grid:
    """Return the grid of a range that has room for what is lost, enlarged, on both sides of zero."""
    low, high = _clipped(seen, plan)
    room = (high - low) / 255 * (ENLARGED / 2 + 1)
    return range_grid(torch.tensor(min(low, -room)), torch.tensor(max(high, room)))


def values_grid(seen: TensorRange, plan: ComponentPlan, *, per_channel: bool) -> Grid:
    if per_channel:
        return range_grid(seen.channel_low, seen.channel_high, axis=1)
    low, high = _clipped(seen, plan)
    return range_grid(torch.tensor(low), torch.tensor(high))


def _clipped(seen: TensorRange, plan: ComponentPlan) -> tuple[float, float]:
    counts = seen.weighted if plan.ranges == "mask" else seen.counts
    return clipped_range(counts, seen.low, seen.high, plan.ranges if counts.any() else "minmax")
