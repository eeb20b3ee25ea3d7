"""Precisions that quantize, by name, and the plan that each one starts from.

    w8           8-bit weights, float compute
    w6, w4       weights out of a table of 64 or 16 numbers a layer (Core ML), or in 4 bits by groups of inputs (ONNX,
                 OpenVINO); more bits where those cost the masks too much
    w8a8         8-bit weights, and 8-bit inputs where those harm little, ranges from calibration
    w8a8-dynamic 8-bit weights, and 8-bit inputs of linear layers by the range that each call's values have
    int8, auto   found by search, starting from 8-bit inputs wherever the target's engine has integer kernels

Adding a precision is a line in `PRECISIONS` or `ALLOCATED`; a target that can do it lists it in `OF_TARGET`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec

from ..errors import UnsupportedError
from ..models import Component
from .kernels import DYNAMIC, INTEGER_KERNELS, ROBUST, layer_plans, stored, stored_because
from .plan import ComponentPlan, Compute, LayerPlan, Weights

Start = Callable[[Component, str], ComponentPlan]

# SNR of LiteMedSAM's embeddings, in dB, with all linear layers in 8 bits, by exponent:
# 0: 17.0, 0.5: 19.2, 0.75: 21.6, 0.9: 20.3, 1: 18.5 (two pictures of the search set).
SMOOTHING = 0.75
SEARCHED = ("int8", "auto")
# What the layers that stay float are stored and computed in, where the plan does not say more.
FLOAT_OF_TARGET: Mapping[str, Compute] = {"onnx": "fp32", "openvino": "fp32", "coreml": "fp16", "web": "fp32"}


NO_INTEGERS = "Core ML computes it in fp16; whether 8-bit inputs would be any faster cannot be measured off a device"
SMALL_COMPONENT = "the decoder is small: integers would save it less time than they cost the masks"


def _weights_only(component: Component, target: str) -> ComponentPlan:
    return _rounded(target, layer_plans(component, stored))


def _integer(component: Component, target: str) -> ComponentPlan:
    return replace(_rounded(target, layer_plans(component, ROBUST[target])), smoothing=SMOOTHING)


def _dynamic(component: Component, target: str) -> ComponentPlan:
    """OpenVINO takes a range for each few values of a row, where no outlier of another channel reaches: no migration
    is needed there, and none of the products that it may leave in the graph. Nor in the decoder: a channel that was
    all but silent in calibration is divided by little, and speaks up for a prompt that calibration did not have; a
    range found at each call then grows with it (LiteMedSAM's worst mask: IoU 0)."""
    plan = _rounded(target, layer_plans(component, DYNAMIC[target]))
    migrates = target != "openvino" and component.contract.component == "image_encoder"
    return replace(plan, smoothing=SMOOTHING) if migrates else plan


def _rounded(target: str, layers: tuple[LayerPlan, ...]) -> ComponentPlan:
    return ComponentPlan(FLOAT_OF_TARGET[target], rounding="gptq", correct_biases=True, layers=layers)


def _fastest(component: Component, target: str) -> ComponentPlan:
    """Of the two components only the encoder is large enough for integer kernels to pay."""
    decoder = component.contract.component == "mask_decoder"
    if target not in INTEGER_KERNELS or decoder:
        return _rounded(target, layer_plans(component, stored_because(SMALL_COMPONENT if decoder else NO_INTEGERS)))
    plan = replace(_rounded(target, layer_plans(component, INTEGER_KERNELS[target])), smoothing=SMOOTHING)
    return replace(plan, compute=fast_float()) if target == "openvino" else plan


@dataclass(frozen=True)
class Allocation:
    """What layers may be stored as, how many bits a weight may have on average, and what products are computed in."""

    kinds: tuple[Weights, ...]
    average_bits: float
    compute: Compute = "fp16"


PRECISIONS: Mapping[str, Start] = {
    "w8": _weights_only,
    "w8a8": _integer,
    "w8a8-dynamic": _dynamic,
    "int8": _fastest,
    "auto": _fastest,
}
GROUPS = Allocation(("int4", "int8"), 6.0, "fp32")
ALLOCATED: Mapping[str, Mapping[str, Allocation]] = {
    "w6": {"coreml": Allocation(("lut6", "int8"), 6.25)},
    "w4": {"coreml": Allocation(("lut4", "lut6"), 5.0), "onnx": GROUPS, "openvino": GROUPS},
}
QUANTIZED_PRECISIONS = (*PRECISIONS, *ALLOCATED)
# What a search for the smallest may store layers as.
STORED: Mapping[str, tuple[Weights, ...]] = {
    "onnx": ("int4", "int8"),
    "openvino": ("int4", "int8"),
    "coreml": ("lut4", "lut6", "int8"),
    "web": ("int8",),
}
OF_TARGET: Mapping[str, tuple[str, ...]] = {
    "onnx": ("w8", "w4", "w8a8", "w8a8-dynamic", "int8", "auto"),
    "openvino": ("w8", "w4", "w8a8", "w8a8-dynamic", "int8", "auto"),
    "coreml": ("w8", "w6", "w4", "w8a8", "int8", "auto"),
    "web": ("w8", "w8a8", "w8a8-dynamic", "int8", "auto"),
}


def start_plan(component: Component, target: str, precision: str) -> ComponentPlan:
    """Return where a precision starts on a target. Raises UnsupportedError if the target cannot do it."""
    require_precision(target, precision)
    return PRECISIONS[precision](component, target)


def require_precision(target: str, precision: str) -> None:
    """Raise UnsupportedError if the target cannot do the quantized precision; the text lists those that it can."""
    allowed = OF_TARGET.get(target, ())
    if precision not in allowed:
        raise UnsupportedError(
            f"{target} cannot do {precision!r}; of the quantized precisions it can do: {', '.join(allowed) or 'none'}"
        )


def fast_float() -> Compute:
    """Return the fastest float type of OpenVINO's CPU device here: bf16 where the processor has it."""
    if find_spec("openvino") is None:
        return "fp32"
    from ..optional import import_openvino

    core = import_openvino(purpose="choosing a compute precision", extra="openvino").Core()
    return "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "fp32"
