"""Which layers the engine behind a target can run in 8 bits, and in what form it wants them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from ..models import Component
from .layers import Quantizable, is_depthwise, quantizable_layers
from .plan import LayerPlan

Rule = Callable[[str, Quantizable], LayerPlan]

# LiteMedSAM's encoder, processor ms: its convolutions 262 with 8-bit weights, 139 with float ones, 0.4 MB larger.
FLOAT_CONVOLUTION = "a small kernel that onnxruntime computes in float, and blocks for the processor only if stored so"


def stored(name: str, _: Quantizable) -> LayerPlan:
    """8-bit weights, computed in float: a smaller file, no integer kernel."""
    return LayerPlan(name, weights="int8")


def _onnxruntime(name: str, layer: Quantizable) -> LayerPlan:
    """Linear layers have integer kernels with float outputs. Convolutions have them with 8-bit outputs only, which is
    worth it for the large kernels of few channels' pictures; depthwise and 1x1 ones gain nothing."""
    if isinstance(layer, nn.Linear):
        return LayerPlan(name, weights="int8", inputs="uint8")
    if is_depthwise(layer) or layer.kernel_size == (1, 1) or layer.in_channels < 64:
        return LayerPlan(name, reason=FLOAT_CONVOLUTION)
    return LayerPlan(name, weights="int8", inputs="uint8", outputs="uint8")


def _openvino(name: str, _: Quantizable) -> LayerPlan:
    return LayerPlan(name, weights="int8", inputs="uint8")


INTEGER_KERNELS: Mapping[str, Rule] = {"onnx": _onnxruntime, "openvino": _openvino}


def layer_plans(component: Component, rule: Rule) -> tuple[LayerPlan, ...]:
    """Return the plan of every quantizable layer of a component."""
    return tuple(rule(name, layer) for name, layer in quantizable_layers(component.module).items())
