"""Linear layers whose inputs are rounded to the range that each call's values have.

trace    x -> DynamicQuantizeLinear -> DequantizeLinear -> MatMul(weight (int8) -> DequantizeLinear)
here     x -> DynamicQuantizeLinear -> MatMulInteger(weight (int8)) -> Cast -> Mul(both scales)

The second is what onnxruntime's integer kernels take; of the first it makes a product with packed weights in float.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass


def multiply_in_integers(model: ir.Model) -> None:
    """Turn the products of dynamically rounded values and stored codes into integer ones, in place."""
    for node in list(model.graph):
        if node.op_type == "MatMul" and _dynamic_source(node.inputs[0]) is not None:
            _replace(model, node)
    RemoveUnusedNodesPass()(model)


def take_out_rounding(model: ir.Model) -> bool:
    """Take dynamic rounding out of the graph, in place, for an engine that does it by itself; return whether any was
    there."""
    found = [node for node in model.graph if _is_dynamic(node)]
    for node in found:
        source = node.inputs[0]
        assert source is not None
        for use in list(node.outputs[0].uses()):
            ir.convenience.replace_all_uses_with(use.node.outputs[0], source)
    RemoveUnusedNodesPass()(model)
    return bool(found)


def _replace(model: ir.Model, product: ir.Node) -> None:
    source, stored = _dynamic_source(product.inputs[0]), _stored(product.inputs[1])
    if source is None or stored is None:
        return
    codes, scale, zero_point = source.outputs
    weight, weight_scale, weight_zero_point = stored.inputs[:3]
    name = product.name
    whole = ir.node("MatMulInteger", [codes, weight, zero_point, weight_zero_point], name=f"{name}_MatMulInteger")
    number = ir.node("Cast", whole.outputs, {"to": ir.DataType.FLOAT}, name=f"{name}_Cast")
    scales = ir.node("Mul", [scale, weight_scale], name=f"{name}_scales")
    scaled = ir.node("Mul", [number.outputs[0], scales.outputs[0]], name=f"{name}_scaled")
    for index, node in enumerate((whole, number, scales)):
        node.outputs[0].name = f"{name}_integer_{index}"
    out, old = scaled.outputs[0], product.outputs[0]
    out.name, out.type, out.shape = f"{old.name}_scaled", old.type, old.shape
    model.graph.insert_before(product, [whole, number, scales, scaled])
    ir.convenience.replace_all_uses_with(old, out)


def _dynamic_source(value: ir.Value | None) -> ir.Node | None:
    """Return the DynamicQuantizeLinear that a value was rounded by."""
    node = value.producer() if value is not None else None
    if node is None or node.op_type != "DequantizeLinear" or node.inputs[0] is None:
        return None
    source = node.inputs[0].producer()
    return source if source is not None and _is_dynamic(source) else None


def _stored(value: ir.Value | None) -> ir.Node | None:
    """Return the DequantizeLinear that a stored weight comes out of."""
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type == "DequantizeLinear" else None


def _is_dynamic(node: ir.Node) -> bool:
    return node.op_type == "DynamicQuantizeLinear"
