"""Removes shape arithmetic from a traced graph: what is known becomes a constant, what is copied becomes a zero.

    Shape(x) -> Gather(0) -> Concat(·, -1, 8, 32) -> Reshape(x, ·)    becomes    Reshape(x, [0, -1, 8, 32])

A size is an int, or a text that names an unknown: the contract's axis ("B"), or one axis of one tensor.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

Size = int | str
MAX_CONSTANT = 64


def resolve_shapes(model: ir.Model) -> bool:
    """Rewrite in place; return whether anything changed. Needs inferred shapes."""
    changed = False
    for node in list(model.graph):
        if node.op_type == "Reshape":
            changed |= _make_constant(model, node)
        elif node.op_type == "Where":
            changed |= _drop_where(node)
        elif (sizes := sizes_of(node.outputs[0])) is not None and all(isinstance(size, int) for size in sizes):
            changed |= _replace(model, node, sizes)
    return changed


def sizes_of(value: ir.Value | None) -> tuple[Size, ...] | None:
    """Return the sizes that a shape tensor holds, or None if it is not one that can be followed."""
    if value is None:
        return None
    if value.const_value is not None:
        return _constant_sizes(value.const_value)
    node = value.producer()
    return None if node is None else _computed(node)


def _computed(node: ir.Node) -> tuple[Size, ...] | None:
    match node.op_type:
        case "Shape":
            return _measured(node)
        case "Gather" | "Slice":
            return _picked(node)
        case "Concat":
            return _joined(node)
        case "Where":
            return _chosen(node)
        case "Unsqueeze" | "Squeeze" | "Reshape" | "Cast" | "Identity" if _is_integer(node.outputs[0]):
            return sizes_of(node.inputs[0])
    return None


def _measured(node: ir.Node) -> tuple[Size, ...] | None:
    dims = _dims(node.inputs[0])
    start = node.attributes.get_int("start", 0)
    end = node.attributes.get_int("end") if "end" in node.attributes else None
    return None if dims is None else dims[start:end]


def _joined(node: ir.Node) -> tuple[Size, ...] | None:
    parts = [sizes_of(part) for part in node.inputs]
    return None if None in parts else tuple(size for part in parts if part is not None for size in part)


def _is_integer(value: ir.Value) -> bool:
    return value.dtype == ir.DataType.INT64


def _constant_sizes(tensor: ir.TensorProtocol) -> tuple[Size, ...] | None:
    if tensor.dtype != ir.DataType.INT64 or tensor.size > MAX_CONSTANT:
        return None
    return tuple(int(size) for size in tensor.numpy().reshape(-1))


def _dims(value: ir.Value | None) -> tuple[Size, ...] | None:
    if value is None or value.shape is None:
        return None
    return tuple(
        dim if isinstance(dim, int) else _unknown(value, index, dim.value) for index, dim in enumerate(value.shape)
    )


def _unknown(value: ir.Value, index: int, name: str | None) -> str:
    """Names that shape inference makes up are not trusted to mean the same size twice."""
    return name if name and name.isidentifier() and not name.startswith("unk__") else f"{value.name}[{index}]"


def _picked(node: ir.Node) -> tuple[Size, ...] | None:
    data, *arguments = (sizes_of(part) for part in node.inputs)
    if data is None or any(argument is None for argument in arguments):
        return None
    numbers = [[int(size) for size in argument or ()] for argument in arguments]
    if node.op_type == "Gather":
        return tuple(data[index] for index in numbers[0])
    (start,), (end,) = numbers[:2]
    (step,) = numbers[3] if len(numbers) > 3 else [1]
    return data[start:end:step]


def _chosen(node: ir.Node) -> tuple[Size, ...] | None:
    """Where(Equal(a, b), c, d) over sizes; an unknown size is at least 1, so it never equals a negative number."""
    equal = node.inputs[0].producer() if node.inputs[0] is not None else None
    if equal is None or equal.op_type != "Equal":
        return None
    parts = [sizes_of(part) for part in (*equal.inputs, *node.inputs[1:])]
    if any(part is None or len(part) != len(parts[0] or ()) for part in parts):
        return None
    left, right, then, other = (part or () for part in parts)
    return tuple(c if a == b else d for a, b, c, d in zip(left, right, then, other, strict=True))


def _make_constant(model: ir.Model, reshape: ir.Node) -> bool:
    """Give the Reshape a constant shape if at most one size of it can be neither known nor copied."""
    data, shape = reshape.inputs
    sizes, dims = sizes_of(shape), _dims(data)
    if shape is None or shape.const_value is not None or sizes is None or dims is None:
        return False
    copied = [
        0 if isinstance(size, str) and dims[index : index + 1] == (size,) else size for index, size in enumerate(sizes)
    ]
    constant = [-1 if isinstance(size, str) else size for size in copied]
    if constant.count(-1) > 1:
        return False
    reshape.replace_input_with(1, new_constant(model, f"{reshape.name}_shape", np.array(constant, np.int64)))
    return True


def _drop_where(node: ir.Node) -> bool:
    other = node.inputs[2]
    if other is None or (sizes := sizes_of(node.outputs[0])) is None or sizes != sizes_of(other):
        return False
    changed = bool(node.outputs[0].uses())
    ir.convenience.replace_all_uses_with(node.outputs[0], other)
    return changed


def _replace(model: ir.Model, node: ir.Node, sizes: tuple[Size, ...]) -> bool:
    """Replace the node's output by a constant of the same rank."""
    output = node.outputs[0]
    if not output.uses() or output.shape is None or output.dtype != ir.DataType.INT64:
        return False
    array = np.array(sizes, np.int64).reshape(() if len(output.shape) == 0 else -1)
    ir.convenience.replace_all_uses_with(output, new_constant(model, f"{output.name}_constant", array))
    return True


def new_constant(model: ir.Model, name: str, array: np.ndarray) -> ir.Value:
    """Return a new initializer of the graph."""
    tensor = ir.tensor(array.copy(order="C"), name=name)
    value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
    model.graph.register_initializer(value)
    return value
