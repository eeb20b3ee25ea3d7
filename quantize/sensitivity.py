"""How much each layer's rounded input is expected to move the masks: the noise that it adds, and what they make of it.

Rounding to steps of s adds noise of s² / 12 to every input value; a layer's weights carry it to its outputs, and the
masks' gradients say how much they mind each of those. One pass backwards instead of one evaluation for each layer; what
is tried afterwards is measured by the masks themselves.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import Tensor

from .gradients import Gradients
from .layers import Quantizable, is_depthwise, quantizable_layers
from .observe import LayerObservation
from .plan import ComponentPlan
from .quantizer import Quantizer
from .smoothing import smooth

LEVELS = 255


def expected_harm(quantizer: Quantizer, plan: ComponentPlan, gradients: Gradients) -> Mapping[str, float]:
    """Return, for every layer whose input the plan rounds, what that is expected to do to the masks."""
    module = copy.deepcopy(quantizer.component.module)
    seen = smooth(module, quantizer.component.migrations, plan, quantizer.seen).seen
    layers = quantizable_layers(module)
    rounded = [one.layer for one in plan.layers if one.inputs != "float"]
    return {
        name: float((gradients[name] * output_noise(layers[name], seen[name])).sum()) if name in gradients else 0.0
        for name in rounded
    }


def output_noise(layer: Quantizable, seen: LayerObservation) -> Tensor:
    """Return the variance that rounding the layer's input to 8 bits adds to each output channel, [out] float64."""
    weight = layer.weight.flatten(1).double()
    low, high = seen.inputs.channel_low.clamp(max=0), seen.inputs.channel_high.clamp(min=0)
    if is_depthwise(layer):
        return ((high - low) / LEVELS).double().square() / 12 * weight.square().sum(1)
    step = float(high.max() - low.min()) / LEVELS
    return step**2 / 12 * weight.square().sum(1)
