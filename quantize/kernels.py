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

SMALL_CONVOLUTION = "few weights, and an input whose rounding to 8 bits moves the masks most"


NO_DYNAMIC_KERNEL = "only linear layers have kernels for ranges that are found at each call"


def stored(name: str, _: Quantizable) -> LayerPlan:
    """8-bit weights, computed in float: a smaller file, no integer kernel."""
    return LayerPlan(name, weights="int8")


def stored_because(reason: str) -> Rule:
    """Return the same rule for a precision that rounds inputs elsewhere."""
    return lambda name, _: LayerPlan(name, weights="int8", reason=reason)


def _onnxruntime(name: str, layer: Quantizable) -> LayerPlan:
    """Linear layers have integer kernels with float outputs. Convolutions have them with 8-bit outputs only, which is
    worth it for the large kernels of few channels' pictures; depthwise and 1x1 ones gain nothing."""
    if isinstance(layer, nn.Linear):
        return LayerPlan(name, weights="int8", inputs="uint8")
    if not _is_large(layer):
        return LayerPlan(name, reason=FLOAT_CONVOLUTION)
    return LayerPlan(name, weights="int8", inputs="uint8", outputs="uint8")


def _dynamic_onnxruntime(name: str, layer: Quantizable) -> LayerPlan:
    """Linear layers alone have kernels for ranges that are found at each call."""
    if isinstance(layer, nn.Linear):
        return LayerPlan(name, weights="int8", inputs="dynamic")
    if not _is_large(layer):
        return LayerPlan(name, reason=FLOAT_CONVOLUTION)
    return LayerPlan(name, weights="int8", reason=NO_DYNAMIC_KERNEL)


def _dynamic_openvino(name: str, layer: Quantizable) -> LayerPlan:
    linear = isinstance(layer, nn.Linear)
    return LayerPlan(name, "int8", "dynamic") if linear else LayerPlan(name, "int8", reason=NO_DYNAMIC_KERNEL)


def everything(name: str, _: Quantizable) -> LayerPlan:
    """What a tool does that leaves nothing out."""
    return LayerPlan(name, weights="int8", inputs="uint8")


def _cells(name: str, layer: Quantizable) -> LayerPlan:
    """Linear layers and the large convolutions; what is left are the few small kernels of the first stages."""
    if isinstance(layer, nn.Linear) or _is_large(layer):
        return LayerPlan(name, weights="int8", inputs="uint8")
    return LayerPlan(name, reason=SMALL_CONVOLUTION)


def _is_large(layer: nn.Conv2d) -> bool:
    return not is_depthwise(layer) and layer.kernel_size != (1, 1) and layer.in_channels >= 64


# Everything that the engine has integer kernels for: where a search starts.
INTEGER_KERNELS: Mapping[str, Rule] = {"onnx": _onnxruntime, "openvino": everything, "web": _onnxruntime}
# Whose integer products gain by an input that is rounded twice: a third of what its float ones cost more.
SPLITTING = frozenset({"openvino"})
# What can have 8-bit inputs without a search.
ROBUST: Mapping[str, Rule] = {"onnx": _onnxruntime, "openvino": _cells, "coreml": _cells, "web": _onnxruntime}

# Linear layers in integers by ranges found at each call.
DYNAMIC: Mapping[str, Rule] = {
    "onnx": _dynamic_onnxruntime,
    "openvino": _dynamic_openvino,
    "web": _dynamic_onnxruntime,
}


def layer_plans(component: Component, rule: Rule) -> tuple[LayerPlan, ...]:
    """Return the plan of every quantizable layer of a component."""
    return tuple(rule(name, layer) for name, layer in quantizable_layers(component.module).items())
