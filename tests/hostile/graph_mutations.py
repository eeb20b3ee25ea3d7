"""Graphs that are changed on purpose: other ops, wires, sizes and numbers, in files that parse."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

NUMBERS = (0, -1, 1, 2, 3, 7, 2**31 - 1, 2**31, -(2**31), 2**63 - 1, -(2**63), 2**40, 65536, 10**6)
FLOATS = (float("nan"), float("inf"), -float("inf"), 1e38, -1e38, 0.0, 1e-45)
ONNX_OPS = tuple(schema.name for schema in onnx.defs.get_all_schemas() if schema.domain in ("", "com.microsoft"))
ATTRIBUTES = (
    *("axis", "axes", "pads", "kernel_shape", "strides", "dilations", "keepdims", "to", "group", "allowzero", "mode"),
    *("k", "perm", "auto_pad", "num_outputs", "blocksize", "p", "size", "alpha", "equation", "value", "noop"),
)
LARGE_OPS = ("ConstantOfShape", "Expand", "Tile", "Reshape", "Pad", "Range", "OneHot", "Resize", "Upsample")
IR_TEXTS = (*map(str, NUMBERS), str(2**64 - 1), "1e9", "nan", "", "x", "1,2", "0x10")
IR_OPS = (
    *("Broadcast", "Tile", "Pad", "Interpolate", "Range", "OneHot", "NonZero", "Loop", "TensorIterator", "If", "Eye"),
    *("ReadValue", "Assign", "Gather", "GatherND", "TopK", "Einsum", "LSTMCell", "StridedSlice", "Slice", "Split"),
    *("VariadicSplit", "NonMaxSuppression", "Proposal", "ROIPooling", "Convolution", "GroupConvolution", "Concat"),
    *("MatMul", "RandomUniform", "Convert", "FakeQuantize", "MVN", "Const", "Parameter", "Result", "ShapeOf"),
)
MIL_TEXTS = ("", "x", "image", "y0", "@model_path/../../../../etc/passwd", "../../etc/passwd", "CoreML5", "n" * 5000)

OnnxChange = Callable[[onnx.GraphProto, random.Random], object]


def changed_onnx(content: bytes, chance: random.Random) -> bytes:
    """The model with one to three things in it changed."""
    proto = onnx.load_from_string(content)
    for _ in range(chance.randrange(1, 4)):
        if proto.graph.node:
            chance.choice(ONNX_CHANGES)(proto.graph, chance)
    if not chance.randrange(20):
        proto.opset_import[0].version = chance.choice((1, 7, 13, 21, 23, 100, 0, -1))
    return proto.SerializeToString()


def _names(graph: onnx.GraphProto) -> list[str]:
    made = [name for node in graph.node for name in node.output]
    return [*(tensor.name for tensor in graph.initializer), *(value.name for value in graph.input), *made, ""]


def _other_op(graph: onnx.GraphProto, chance: random.Random) -> None:
    chance.choice(graph.node).op_type = chance.choice(ONNX_OPS)


def _other_wire(graph: onnx.GraphProto, chance: random.Random) -> None:
    node = chance.choice(graph.node)
    if node.input:
        node.input[chance.randrange(len(node.input))] = chance.choice(_names(graph))


def _other_value(graph: onnx.GraphProto, chance: random.Random) -> None:
    if not graph.initializer:
        return
    tensor = chance.choice(graph.initializer)
    try:
        array = numpy_helper.to_array(tensor).copy()
    except ValueError:  # changed before
        return
    if array.size:
        array.reshape(-1)[chance.randrange(array.size)] = chance.choice(FLOATS if array.dtype.kind == "f" else NUMBERS)
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _other_size(graph: onnx.GraphProto, chance: random.Random) -> None:
    if not graph.initializer:
        return
    tensor = chance.choice(graph.initializer)
    if tensor.dims and chance.random() < 0.5:
        tensor.dims[chance.randrange(len(tensor.dims))] = chance.choice(NUMBERS)
    else:
        tensor.data_type = chance.randrange(24)


def _other_port(graph: onnx.GraphProto, chance: random.Random) -> None:
    shape = chance.choice([*graph.input, *graph.output]).type.tensor_type.shape
    if shape.dim:
        chance.choice(shape.dim).dim_value = chance.choice(NUMBERS)


def _more_attributes(graph: onnx.GraphProto, chance: random.Random) -> None:
    numbers = [chance.choice(NUMBERS) for _ in range(chance.randrange(1, 5))]
    value = chance.choice([numbers[0], numbers, "x", 1.5, float("nan")])
    chance.choice(graph.node).attribute.append(helper.make_attribute(chance.choice(ATTRIBUTES), value))


def _other_attribute(graph: onnx.GraphProto, chance: random.Random) -> None:
    node = chance.choice(graph.node)
    if node.attribute:
        attribute = chance.choice(node.attribute)
        if attribute.ints:
            attribute.ints[chance.randrange(len(attribute.ints))] = chance.choice(NUMBERS)
        else:
            attribute.i = chance.choice(NUMBERS)


def _no_node(graph: onnx.GraphProto, chance: random.Random) -> None:
    graph.node.remove(chance.choice(graph.node))


def _large_values(graph: onnx.GraphProto, chance: random.Random) -> None:
    """Let a node get what an op makes as large as a constant says."""
    at = chance.randrange(len(graph.node))
    sizes = np.array([chance.choice(NUMBERS) for _ in range(chance.randrange(1, 4))], np.int64)
    graph.initializer.append(numpy_helper.from_array(sizes, f"sizes_{at}"))
    op = chance.choice(LARGE_OPS)
    inputs = [f"sizes_{at}"] if op == "ConstantOfShape" else [chance.choice(_names(graph)), f"sizes_{at}"]
    if graph.node[at].input:
        graph.node[at].input[0] = f"large_{at}"
    graph.node.insert(at, helper.make_node(op, inputs, [f"large_{at}"]))


ONNX_CHANGES: tuple[OnnxChange, ...] = (
    *(_other_op, _other_wire, _other_value, _other_size, _other_port),
    *(_more_attributes, _other_attribute, _no_node, _large_values),
)


def changed_ir(text: str, weights: bytes, chance: random.Random) -> tuple[str, bytes]:
    """The description, and the weights, with one to three things in them changed."""
    for _ in range(chance.randrange(1, 4)):
        match chance.randrange(8):
            case 0:
                text = _replaced(r'type="([A-Z]\w+)"', text, chance.choice(IR_OPS), chance)
            case 1:
                text = _replaced(r'\w+="([^"]*)"', text, chance.choice(IR_TEXTS), chance)
            case 2:
                text = _replaced(r"<dim>([^<]*)</dim>", text, chance.choice(IR_TEXTS), chance)
            case 3:
                port = chance.choice(("-1", "99999", str(2**32), str(chance.randrange(60))))
                text = _replaced(r'(?:from-layer|to-layer|from-port|to-port|id)="(\d+)"', text, port, chance)
            case 4:
                text = _replaced(r"(?s)(\t*<layer.*?</layer>\n|\t*<edge[^>]*>\n)", text, "", chance)
            case 5:
                name = chance.choice(("axis", "shape", "element_type", "special_zero", "kernel", "mode", "offset"))
                text = _replaced(r"<data ()", text, f'{name}="{chance.choice(IR_TEXTS)}" ', chance)
            case 6 if weights:
                at = chance.randrange(len(weights))
                number = chance.choice((b"\xff" * 8, bytes(8), b"\xff" * 7 + b"\x7f", bytes(5) + b"\1\0\0"))
                weights = weights[:at] + number + weights[at + 8 :]
            case _:
                text = _replaced(r"(?s)(.{1,30})", text, chr(chance.randrange(1, 127)), chance)
    return text, weights


def _replaced(pattern: str, text: str, new: str, chance: random.Random) -> str:
    found = list(re.finditer(pattern, text))
    if not found:
        return text
    match = chance.choice(found)
    return text[: match.start(1)] + new + text[match.end(1) :]


def changed_message(message: Any, chance: random.Random) -> None:
    """Change one or two fields of a protobuf message, wherever they stand in it."""
    for _ in range(chance.randrange(1, 3)):
        owner, field = chance.choice(list(_spots(message)))
        value = getattr(owner, field.name)
        if field.message_type is not None:
            del value[chance.randrange(len(value))]
            continue
        new = _other(field, value, chance)
        try:
            if field.is_repeated:
                value[chance.randrange(len(value))] = new
            else:
                setattr(owner, field.name, new)
        except (ValueError, TypeError, OverflowError):  # not a number that the field can hold
            continue


def _spots(message: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every field that is set, with the message that it is of, in the order of the file."""
    for field, value in message.ListFields():
        if field.message_type is None:
            yield message, field
        elif field.message_type.GetOptions().map_entry:
            for key in sorted(value):
                if hasattr(value[key], "ListFields"):
                    yield from _spots(value[key])
        elif field.is_repeated:
            yield message, field
            for part in value:
                yield from _spots(part)
        else:
            yield from _spots(value)


def _other(field: Any, value: Any, chance: random.Random) -> Any:
    if field.type == field.TYPE_STRING:
        return chance.choice(MIL_TEXTS)
    if field.type == field.TYPE_BYTES:
        whole = bytes(value[0] if field.is_repeated else value)
        return whole[: len(whole) // 2] + bytes(chance.randrange(3))
    if field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
        return chance.choice(FLOATS)
    if field.type == field.TYPE_ENUM:
        return chance.choice(sorted(field.enum_type.values_by_number))
    return chance.choice(NUMBERS)
