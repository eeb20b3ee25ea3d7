"""Constant folding that never makes a graph larger.

A node whose inputs are all constants is computed, unless its float result has more elements than any float that it is
made of. So transposed weights and scales fold, while a table that is gathered or broadcast into something larger (the
attention biases of TinyViT, the position of every cell) stays a table; engines expand it when they load the graph.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from .onnx_shapes import new_constant

SMALL = 64
RANDOM = frozenset({"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial"})
# What these make of constants is `onnx_quantized`'s business: integers, and their way back to floats, stay apart.
UNFOLDABLE = RANDOM | {"QuantizeLinear", "DequantizeLinear"}


def fold_constants(model: ir.Model) -> bool:
    """Rewrite in place; return whether anything changed."""
    changed = False
    for node in list(model.graph):
        inputs = [value for value in node.inputs if value is not None]
        if len(node.outputs) != 1 or node.op_type in UNFOLDABLE or any(value.const_value is None for value in inputs):
            continue
        if not node.outputs[0].uses():
            continue
        result = _compute(model, node, inputs)
        if _grows(result, inputs):
            continue
        ir.convenience.replace_all_uses_with(
            node.outputs[0], new_constant(model, f"{node.outputs[0].name}_folded", result)
        )
        changed = True
    return changed


def _compute(model: ir.Model, node: ir.Node, inputs: list[ir.Value]) -> np.ndarray:
    """Return the node's output by the ONNX reference implementation."""
    feeds = {str(value.name): value.const_value.numpy() for value in inputs if value.const_value is not None}
    infos = [
        onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in feeds.items()
    ]
    output = onnx.ValueInfoProto(name=str(node.outputs[0].name))
    graph = onnx.helper.make_graph([ir.to_proto(node)], "fold", infos, [output])
    opset = onnx.helper.make_opsetid("", model.opset_imports[""])
    evaluator = ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=[opset]))
    (result,) = evaluator.run(None, feeds)
    return np.asarray(result)


def _grows(result: np.ndarray, inputs: list[ir.Value]) -> bool:
    if result.dtype.kind != "f" or result.size <= SMALL:
        return result.size > SMALL and result.size > max((_size(value) for value in inputs), default=0)
    return result.size > max((_size(value) for value in inputs if _is_float(value)), default=0)


def _size(value: ir.Value) -> int:
    return 0 if value.const_value is None else value.const_value.size


def _is_float(value: ir.Value) -> bool:
    return value.const_value is not None and value.const_value.dtype.is_floating_point()
