"""Weights in 4 bits, a grid for each group of inputs.

trace    codes (uint8 [out * in / size, size]) -> DequantizeLinear -> Reshape [out, in] -> Transpose -> MatMul
here     codes (uint4 [in, out]) -> DequantizeLinear(axis 0, block_size) -> MatMul

The second needs opset 21; onnxruntime makes a product with packed weights of it.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from .onnx_shapes import new_constant

OPSET = 21
HALF_BYTE = ir.DataType.UINT4.numpy()
IR_VERSION = 10  # the oldest that opset 21 and 4-bit tensors are valid in


def store_groups(model: ir.Model) -> ir.Model:
    """Return the graph with 4-bit weights where there are any for it; one without is returned as it is."""
    if not any(_chain(node) for node in model.graph):
        return model
    newer = ir.from_proto(onnx.version_converter.convert_version(ir.to_proto(model), OPSET))
    newer.ir_version = IR_VERSION
    for node in list(newer.graph):
        chain = _chain(node)
        if chain is not None:
            _replace(newer, node, *chain)
    RemoveUnusedNodesPass()(newer)
    return newer


def _chain(node: ir.Node) -> tuple[ir.Node, ir.Node] | None:
    """Return the Reshape and the Transpose behind the DequantizeLinear of a weight that is rounded in groups."""
    if node.op_type != "DequantizeLinear" or any(value is None or value.const_value is None for value in node.inputs):
        return None
    reshape = _only_use(node)
    transpose = _only_use(reshape) if reshape is not None and reshape.op_type == "Reshape" else None
    if reshape is None or transpose is None or transpose.op_type != "Transpose":
        return None
    return reshape, transpose


def _only_use(node: ir.Node) -> ir.Node | None:
    uses = list(node.outputs[0].uses())
    return uses[0].node if len(uses) == 1 else None


def _replace(model: ir.Model, node: ir.Node, reshape: ir.Node, transpose: ir.Node) -> None:
    rows, scale, zero_point, shape = map(_array, (*node.inputs, reshape.inputs[1]))
    outputs, inputs = (int(size) for size in shape)
    columns = {
        "codes": rows.reshape(outputs, inputs).T.astype(HALF_BYTE),
        "scales": scale.reshape(outputs, -1).T,
        "zero_points": zero_point.reshape(outputs, -1).T.astype(HALF_BYTE),
    }
    made = ir.node(
        "DequantizeLinear",
        [new_constant(model, f"{node.name}_{name}", array) for name, array in columns.items()],
        {"axis": 0, "block_size": inputs // len(columns["scales"])},
        name=node.name,
    )
    old = transpose.outputs[0]
    made.outputs[0].name = f"{old.name}_grouped"
    made.outputs[0].type, made.outputs[0].shape = old.type, old.shape
    model.graph.insert_before(node, made)
    ir.convenience.replace_all_uses_with(old, made.outputs[0])


def _array(value: ir.Value | None) -> np.ndarray:
    assert value is not None
    assert value.const_value is not None
    array: np.ndarray = value.const_value.numpy()
    return array
