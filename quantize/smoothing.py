"""Moving what is hard to round from a layer's input into its weights, which leaves the product the same.

    norm -> linear:     norm.weight / s, norm.bias / s;  linear.weight columns * s
    linear -> linear:   the first one's rows and bias / s;  the second one's columns * s
    anything else:      the layer divides its input by s itself, before it rounds it; its columns * s

with s = max|x|^a / max|w|^(1 - a) for each channel. Source: Xiao et al., "SmoothQuant" (arXiv:2211.10438), equation 4;
the last line is ours: GELU lets no scale through, and one product more is little beside what it saves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from ..models import Migration
from .layers import Quantizable, is_depthwise, quantizable_layers
from .observe import LayerObservation, TensorRange
from .plan import ComponentPlan


@dataclass(frozen=True, eq=False)
class Smoothed:
    """What layers would have seen after smoothing, without histograms of what changed, and what those that divide their
    input themselves divide it by."""

    seen: Mapping[str, LayerObservation]
    divisors: Mapping[str, Tensor]


def smooth(
    module: nn.Module, migrations: tuple[Migration, ...], plan: ComponentPlan, seen: Mapping[str, LayerObservation]
) -> Smoothed:
    """Scale weights in place where the plan rounds inputs; depthwise convolutions round each channel by itself."""
    if not plan.smoothing:
        return Smoothed(seen, {})
    layers = quantizable_layers(module)
    rounded = {one.layer for one in plan.layers if one.inputs != "float" and not is_depthwise(layers[one.layer])}
    changed, divisors = dict(seen), dict[str, Tensor]()
    for one in migrations:
        if rounded.issuperset(one.consumers):
            factors = _factors(seen[one.consumers[0]], [layers[name] for name in one.consumers], plan.smoothing)
            _divide(module.get_submodule(one.producer), factors)
            changed.update({name: _scaled(layers[name], seen[name], factors) for name in one.consumers})
            rounded -= set(one.consumers)
    for name in rounded:
        divisors[name] = _factors(seen[name], [layers[name]], plan.smoothing)
        changed[name] = _scaled(layers[name], seen[name], divisors[name])
    return Smoothed(changed, divisors)


@contextmanager
def divided_inputs(module: nn.Module, divisors: Mapping[str, Tensor]) -> Iterator[None]:
    """Make the layers divide their inputs, as those will that take their place."""
    layers = quantizable_layers(module)
    with ExitStack() as stack:
        for name, divisor in divisors.items():
            stack.callback(layers[name].register_forward_pre_hook(partial(_divided, divisor)).remove)
        yield


def _divided(divisor: Tensor, layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    shape = (1, -1, 1, 1) if isinstance(layer, nn.Conv2d) else (-1,)
    return (inputs[0] / divisor.reshape(shape),)


def _factors(seen: LayerObservation, consumers: list[Quantizable], exponent: float) -> Tensor:
    """Return s of each input channel, with 1 as their geometric mean."""
    inputs = torch.maximum(seen.inputs.channel_low.abs(), seen.inputs.channel_high.abs())
    weights = torch.stack([_largest_of_channel(consumer) for consumer in consumers]).amax(0)
    factors = inputs.clamp(min=1e-5) ** exponent / weights.clamp(min=1e-5) ** (1 - exponent)
    return factors / factors.log().mean().exp()


def _largest_of_channel(layer: Quantizable) -> Tensor:
    return layer.weight.abs().transpose(0, 1).flatten(1).amax(1)


def _scaled(layer: Quantizable, seen: LayerObservation, factors: Tensor) -> LayerObservation:
    """Multiply the weight by the factors, in place; return what the layer sees once its input is divided by them."""
    shape = (1, -1, *[1] * (layer.weight.dim() - 2))
    layer.weight = nn.Parameter(layer.weight * factors.reshape(shape), requires_grad=False)
    of_columns = factors.repeat_interleave(layer.weight[0, 0].numel())
    inputs = TensorRange(
        seen.inputs.channel_low / factors, seen.inputs.channel_high / factors, torch.zeros_like(seen.inputs.counts)
    )
    gram = seen.gram / of_columns / of_columns.unsqueeze(1)
    return replace(seen, inputs=inputs, gram=gram, total=seen.total / of_columns)


def _divide(producer: nn.Module, factors: Tensor) -> None:
    assert isinstance(producer, nn.Linear | nn.LayerNorm)
    shape = (-1, 1) if isinstance(producer, nn.Linear) else (-1,)
    producer.weight = nn.Parameter(producer.weight / factors.reshape(shape), requires_grad=False)
    if producer.bias is not None:
        producer.bias = nn.Parameter(producer.bias / factors, requires_grad=False)
