"""A float32 graph made float16 between its inputs and outputs, but for the ops that must stay float32.

    image (fp32) -> [fp32 ops] -> Cast -> fp16 ops -> Cast -> low_res_masks (fp32)

One Cast for each value that crosses, right behind its producer. Own code, since onnxruntime's converter gives the casts
around a list of excepted nodes duplicate names, and casts graph inputs down and up again before such a node.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx_ir as ir

from ..errors import ConversionError
from .onnx_shapes import new_constant

HALF, FLOAT = ir.DataType.FLOAT16, ir.DataType.FLOAT
FLOAT16_MAX = float(np.finfo(np.float16).max)
# Inputs, by their position, that the standard has as float32 whatever the op computes in.
FLOAT_INPUTS = {"Resize": (2,)}


def to_float16(model: ir.Model, keep_float32: Collection[str]) -> None:
    """Convert in place. `keep_float32`: names of nodes. Needs the types of all values.

    Raises:
        ConversionError: a constant does not fit into float16.
    """
    for node in list(model.graph):
        wanted = FLOAT if node.name in keep_float32 else HALF
        for index, value in enumerate(node.inputs):
            if index in FLOAT_INPUTS.get(node.op_type, ()):
                continue
            if value is not None and value.dtype in (HALF, FLOAT) and value.dtype != wanted:
                node.replace_input_with(index, _as(model, value, wanted))
        _retype(node, wanted)
    _restore_outputs(model)
    for name in [name for name, value in model.graph.initializers.items() if not value.uses()]:
        del model.graph.initializers[name]


def _retype(node: ir.Node, wanted: ir.DataType) -> None:
    if node.op_type == "Cast" and node.attributes.get_int("to") == FLOAT:
        node.attributes["to"] = ir.AttrInt64("to", int(wanted))
    for output in node.outputs:
        if output.dtype == FLOAT:
            output.dtype = wanted


def _as(model: ir.Model, value: ir.Value, wanted: ir.DataType) -> ir.Value:
    """Return the value in the wanted type: the converted constant, or its one Cast."""
    name = f"{value.name}_{'fp16' if wanted == HALF else 'fp32'}"
    if value.const_value is not None:
        return model.graph.initializers.get(name) or new_constant(model, name, _half(value))
    casts = (use.node for use in value.uses() if use.node.op_type == "Cast" and use.node.outputs[0].name == name)
    cast = next(casts, None) or _insert_cast(model, value, name, wanted)
    return cast.outputs[0]


def _insert_cast(model: ir.Model, value: ir.Value, name: str, wanted: ir.DataType) -> ir.Node:
    cast = ir.node("Cast", [value], {"to": int(wanted)}, name=f"{name}_cast")
    cast.outputs[0].name = name
    cast.outputs[0].type, cast.outputs[0].shape = ir.TensorType(wanted), value.shape
    producer = value.producer()
    if producer is None:
        model.graph.insert_before(model.graph[0], cast)
    else:
        model.graph.insert_after(producer, cast)
    return cast


def _half(value: ir.Value) -> np.ndarray:
    assert value.const_value is not None
    array = value.const_value.numpy()
    if array.size and float(np.abs(array).max()) > FLOAT16_MAX:
        raise ConversionError(
            f"{value.name}: its largest value is {np.abs(array).max():g}, float16 ends at {FLOAT16_MAX:g}; "
            "export at fp32"
        )
    return array.astype(np.float16)


def _restore_outputs(model: ir.Model) -> None:
    """Give every graph output its float32 and its name back, by a last Cast."""
    for index, output in enumerate(list(model.graph.outputs)):
        if output.dtype != HALF:
            continue
        name, output.name = output.name, f"{output.name}_fp16"
        cast = ir.node("Cast", [output], {"to": int(FLOAT)}, name=f"{name}_cast")
        cast.outputs[0].name = name
        cast.outputs[0].type, cast.outputs[0].shape = ir.TensorType(FLOAT), output.shape
        model.graph.append(cast)
        model.graph.outputs[index] = cast.outputs[0]
