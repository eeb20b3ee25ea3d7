"""Rounded tensors of a traced graph, in the official QDQ form.

trace    weight (float) -> QuantizeLinear -> DequantizeLinear -> MatMul -> Add(bias)
here     weight (int8)                    -> DequantizeLinear -> MatMul -> Add(bias)
with integer biases, for onnxruntime:        bias (int32)     -> DequantizeLinear -> Add
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from .onnx_shapes import new_constant

INT32_LIMIT = 2**31 - 1


def store_rounded(model: ir.Model) -> bool:
    """Store constants that are rounded as the integers that they become; return whether anything changed."""
    changed = False
    for node in list(model.graph):
        inputs = [value for value in node.inputs if value is not None]
        if node.op_type != "QuantizeLinear" or any(value.const_value is None for value in inputs):
            continue
        if not node.outputs[0].uses():
            continue
        codes = _codes(*(_array(value) for value in inputs), axis=node.attributes.get_int("axis", 1))
        ir.convenience.replace_all_uses_with(
            node.outputs[0], new_constant(model, f"{node.outputs[0].name}_codes", codes)
        )
        changed = True
    return changed


def round_biases(model: ir.Model) -> None:
    """Store the bias of every product of two rounded tensors as int32, in place.

    onnxruntime fuses `MatMul` and `Add` before it looks for rounded products, and then finds them only if the bias is
    rounded as well. The grid is that of the products themselves, so what it loses is far below what they lost.
    """
    for node in list(model.graph):
        if node.op_type == "Add":
            _round_added(model, node)
        elif node.op_type == "Conv" and len(node.inputs) == 3 and _is_followed_by_rounding(node):
            _round_bias(model, node, 2, node)


def _round_added(model: ir.Model, add: ir.Node) -> None:
    for index, value in enumerate(add.inputs):
        other = add.inputs[1 - index]
        product = other.producer() if other is not None else None
        if value is not None and value.const_value is not None and product is not None and product.op_type == "MatMul":
            _round_bias(model, add, index, product)
            return


def _round_bias(model: ir.Model, node: ir.Node, index: int, product: ir.Node) -> None:
    """Replace input `index` of the node by int32 codes and their DequantizeLinear, if the product is of two such."""
    scales = [_scale_of(value) for value in product.inputs[:2]]
    bias = node.inputs[index]
    if bias is None or bias.const_value is None or any(scale is None for scale in scales):
        return
    scale = np.multiply(*[part for part in scales if part is not None]).astype(np.float32).reshape(-1)
    codes = np.rint(_array(bias) / scale)
    if np.abs(codes).max() > INT32_LIMIT:
        return
    name = f"{node.name}_bias"
    inputs = [
        new_constant(model, f"{name}_codes", codes.astype(np.int32)),
        new_constant(model, f"{name}_scale", scale),
        new_constant(model, f"{name}_zero_point", np.zeros(scale.shape, np.int32)),
    ]
    dequantize = ir.node("DequantizeLinear", inputs, {"axis": 0}, name=f"{name}_DequantizeLinear")
    dequantize.outputs[0].name = name
    dequantize.outputs[0].type, dequantize.outputs[0].shape = bias.type, bias.shape
    model.graph.insert_before(node, dequantize)
    node.replace_input_with(index, dequantize.outputs[0])
    if not bias.uses() and bias.name is not None:
        model.graph.initializers.pop(bias.name)


def _scale_of(value: ir.Value | None) -> np.ndarray | None:
    """Return the scale of a tensor that comes out of a DequantizeLinear."""
    node = value.producer() if value is not None else None
    if node is None or node.op_type != "DequantizeLinear":
        return None
    scale = node.inputs[1]
    return None if scale is None or scale.const_value is None else _array(scale)


def _is_followed_by_rounding(node: ir.Node) -> bool:
    return all(use.node.op_type == "QuantizeLinear" for use in node.outputs[0].uses())


def _codes(values: np.ndarray, scale: np.ndarray, zero_point: np.ndarray, *, axis: int) -> np.ndarray:
    limits = np.iinfo(zero_point.dtype)
    if scale.ndim:
        shape = [1] * values.ndim
        shape[axis] = -1
        scale, zero_point = scale.reshape(shape), zero_point.reshape(shape)
    codes = np.rint(values / scale) + zero_point.astype(np.int32)
    stored: np.ndarray = codes.clip(limits.min, limits.max).astype(limits.dtype)
    return stored


def _array(value: ir.Value) -> np.ndarray:
    assert value.const_value is not None
    array: np.ndarray = value.const_value.numpy()
    return array
