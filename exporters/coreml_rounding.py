"""Rounded tensors of a traced program, as Core ML stores and computes them.

    trace    fake_quantize(weight)                here    constexpr_affine_dequantize(int8 codes), from iOS 18 on
                                                          constexpr_blockwise_shift_scale(int8 or int4 codes)
    trace    fake_quantize(x)                     here    dequantize(quantize(x)), from iOS 17 on
    trace    add(matmul(x, weight), bias)         here    linear(x, weight, bias), see `LinearOfRounded`

The codes and scales are those of the trace; nothing is rounded anew. Importing this file tells coremltools about it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from coremltools.converters.mil.frontend._utils import _construct_constexpr_dequant_op
from coremltools.converters.mil.frontend.torch.ops import _get_inputs
from coremltools.converters.mil.mil import Builder, Operation, Program, Var
from coremltools.converters.mil.mil.passes.pass_registry import PASS_REGISTRY
from coremltools.converters.mil.mil.scope import ScopeInfo, ScopeSource
from torch import Tensor
from torch.export import ExportedProgram

from ..contract import Array
from ..errors import UnsupportedError
from .coreml_registry import translates

LINEAR_OF_ROUNDED = "sam_export::linear_of_rounded"
# What the trace calls a range of codes, and the type that holds them.
CODE_TYPES = {(-128, 127): np.int8, (0, 255): np.uint8}
ROUNDED_WEIGHTS = ("constexpr_affine_dequantize", "constexpr_blockwise_shift_scale")
ROUNDING_OPS = (
    torch.ops.aten.fake_quantize_per_tensor_affine.default,
    torch.ops.aten.fake_quantize_per_channel_affine.default,
)
FIRST_IOS_OF_ROUNDED_VALUES = 17


def require_ios(label: str, program: ExportedProgram, minimum_ios: int) -> None:
    """Raise UnsupportedError if the program rounds what it computes and the oldest iOS cannot."""
    if minimum_ios >= FIRST_IOS_OF_ROUNDED_VALUES:
        return
    rounding = [node for node in program.graph.nodes if node.target in ROUNDING_OPS]
    computed = sum(node.args[0].op != "placeholder" for node in rounding)
    if computed:
        raise UnsupportedError(
            f"{label}: rounds {computed} inputs of layers to 8 bits, which needs iOS {FIRST_IOS_OF_ROUNDED_VALUES} or "
            f"later, asked for is iOS {minimum_ios}; give --minimum-ios {FIRST_IOS_OF_ROUNDED_VALUES}, or take "
            "--precision w8, which rounds the weights alone"
        )


def _fake_rounding(x: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(x, dtype=torch.bool)


# torch cannot trace these two with flexible sizes until it is told what they return.
for op in ("fake_quantize_per_tensor_affine_cachemask", "fake_quantize_per_channel_affine_cachemask"):
    torch.library.register_fake(f"aten::{op}", _fake_rounding)


@translates
def fake_quantize_per_tensor_affine(context: Any, node: Any) -> None:
    x, scale, zero_point, low, high = _get_inputs(context, node, expected=5)
    grid = np.asarray(scale.val, np.float32), np.asarray(zero_point.val)
    _add_rounded(context, node.name, x, *grid, None, (low.val, high.val))


@translates
def fake_quantize_per_channel_affine(context: Any, node: Any) -> None:
    x, scale, zero_point, axis, low, high = _get_inputs(context, node, expected=6)
    _add_rounded(context, node.name, x, scale.val, zero_point.val, int(axis.val), (low.val, high.val))


def _add_rounded(
    context: Any, name: str, x: Var, scale: Array, zero_point: Array, axis: int | None, limits: tuple[int, int]
) -> None:
    stored = CODE_TYPES[int(limits[0]), int(limits[1])]
    zero_point = zero_point.astype(stored)
    if x.val is None:
        codes = Builder.quantize(
            input=x, scale=scale, zero_point=zero_point, axis=axis, output_dtype=np.dtype(stored).name
        )
        result = Builder.dequantize(input=codes, scale=scale, zero_point=zero_point, axis=axis, name=name)
    else:
        codes = np.rint(x.val / _along(scale, axis, x.val)) + _along(zero_point, axis, x.val).astype(np.int32)
        # In four bits where the codes fit and iOS knows such.
        result = _construct_constexpr_dequant_op(
            codes.clip(*limits).astype(stored), zero_point, scale, axis=axis or 0, name=name
        )
    context.add(result, name)


def _along(numbers: Array, axis: int | None, like: Array) -> Array:
    """Return one number for each place on the axis, so that it broadcasts."""
    if axis is None:
        return numbers
    shape = [1] * like.ndim
    shape[axis] = -1
    return numbers.reshape(shape)


class LinearOfRounded:
    """Turns rounded weights and puts biases into linear layers, as coremltools' own passes do with constants only.

    A weight that is stored rounded is no constant to them. Left as it is, iOS 18 would get a product and an addition.

        before   add(linear(x, transpose(rounded(codes[in, out]))), bias[out])
        after    linear(x, rounded(codes[out, in]), bias)
    """

    def __call__(self, program: Program) -> None:
        scope = ScopeInfo(source=ScopeSource.COREMLTOOLS_GRAPH_PASS, data=[LINEAR_OF_ROUNDED])
        for function in program.functions.values():
            with Builder.scope(scope), function:
                for op in list(function.operations):
                    if op.op_type == "linear" and _is_turned_weight(op.weight):
                        _settle(op)

    def set_options(self, options: object) -> None:
        """The pipeline calls this for every pass; there are no options."""


PASS_REGISTRY.add("sam_export", LinearOfRounded, override=True, name="linear_of_rounded")


def _is_turned_weight(weight: Var) -> bool:
    turned = weight.op is not None and weight.op.op_type == "transpose" and weight.rank == 2
    return turned and weight.op.x.op is not None and weight.op.x.op.op_type in ROUNDED_WEIGHTS


def _settle(linear: Operation) -> None:
    added = _bias_after(linear)
    last, bias = (linear, linear.bias) if added is None else added
    settled = Builder.linear(
        x=linear.x,
        weight=_transposed(linear.weight.op.x.op, before=last),
        bias=bias,
        before_op=last,
        name=last.name,
    )
    block = last.enclosing_block
    # By force: coremltools guards stored weights against being lost, and these are stored anew.
    block.replace_uses_of_var_after_op(anchor_op=last, old_var=last.outputs[0], new_var=settled, force_replace=True)
    block.remove_ops(list(dict.fromkeys((last, linear))))


def _bias_after(linear: Operation) -> tuple[Operation, Array] | None:
    """Return the addition that is all that becomes of the product, and what it adds, if that is a bias."""
    product = linear.outputs[0]
    has_bias = linear.bias is not None and np.any(linear.bias.val)
    if has_bias or len(product.child_ops) != 1 or product in linear.enclosing_block.outputs:
        return None
    (add,) = product.child_ops
    if add.op_type != "add":
        return None
    bias = (add.y if add.x is product else add.x).val
    return (add, bias) if np.shape(bias) == (product.shape[-1],) else None


def _transposed(rounded: Operation, before: Operation) -> Var:
    """Return the same weight with its two axes exchanged."""
    name = f"{rounded.name}_rows"
    if rounded.op_type == "constexpr_affine_dequantize":
        return Builder.constexpr_affine_dequantize(
            quantized_data=_turned(rounded.quantized_data),
            zero_point=rounded.zero_point.val,
            scale=rounded.scale.val,
            axis=np.int32(1 - rounded.axis.val),
            before_op=before,
            name=name,
        )
    offset = {} if rounded.offset is None else {"offset": _turned(rounded.offset)}
    return Builder.constexpr_blockwise_shift_scale(
        data=_turned(rounded.data), scale=_turned(rounded.scale), before_op=before, name=name, **offset
    )


def _turned(constant: Var) -> Array:
    return np.ascontiguousarray(constant.val.T)
