"""Chains that only move rows of a tensor, made one Gather: onnxruntime copies rows on all threads and in one pass, but
transposes and slices on one thread each, and writes every tensor between them.

    x [25, 5, 196, 32] -> Transpose -> Reshape -> Transpose -> Reshape -> Slice -> Reshape -> [1, 4096, 160]
    becomes
    x -> Reshape [24500, 32] -> Gather(rows [4096, 1] + heads [1, 5]) -> Reshape [1, 4096, 160]

Where a row of the result is made of several of the source, as by heads, the rows of its first part and the distances of
the others are stored, and their sum is left to the engine, which folds it when it loads the graph.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from .onnx_shapes import new_constant

# With how many inputs: a slice whose axes and steps are left to their defaults stays.
LAYOUT_OPS = {"Reshape": 2, "Transpose": 1, "Slice": 5}
# A row of fewer values costs more to find than to copy.
SHORTEST_ROW = 16


def gather_rows(model: ir.Model) -> None:
    """Rewrite in place. Needs the shapes of all values."""
    constants: dict[bytes, ir.Value] = {}
    for chain in list(_chains(model)):
        source, result = chain[0].inputs[0], chain[-1].outputs[0]
        rows = _rows(chain) if _saves(chain) and not result.is_graph_output() else None
        if source is not None and rows is not None:
            _replace(model, source, result, rows, constants)
    RemoveUnusedNodesPass()(model)


def _chains(model: ir.Model) -> Iterator[list[ir.Node]]:
    """Yield the longest chains of layout ops whose values between have one use each."""
    for node in model.graph:
        if not _is_layout(node) or _continues(node):
            continue
        chain = [node]
        while (following := _following(chain[-1])) is not None:
            chain.append(following)
        yield chain


def _is_layout(node: ir.Node | None) -> bool:
    """Return whether a node moves values alone, by constants, between known shapes."""
    if node is None or len(node.inputs) != LAYOUT_OPS.get(node.op_type) or node.inputs[0] is None:
        return False
    constant = all(value is not None and value.const_value is not None for value in node.inputs[1:])
    return constant and None not in (_sizes(node.inputs[0]), _sizes(node.outputs[0]))


def _continues(node: ir.Node) -> bool:
    source = node.inputs[0].producer() if node.inputs[0] is not None else None
    return source is not None and _is_layout(source) and _following(source) is node


def _following(node: ir.Node) -> ir.Node | None:
    uses = node.outputs[0].uses()
    if len(uses) != 1 or node.outputs[0].is_graph_output():
        return None
    (use,) = uses
    return use.node if use.idx == 0 and _is_layout(use.node) else None


def _saves(chain: list[ir.Node]) -> bool:
    """A transpose alone is as good as a Gather, and fuses with what is around it."""
    return sum(node.op_type != "Reshape" for node in chain) > 1 or (
        chain[0].op_type == chain[-1].op_type == "Reshape" and any(node.op_type == "Transpose" for node in chain)
    )


def _rows(chain: list[ir.Node]) -> np.ndarray | None:
    """Return which row of the source each of the result is, [rows, parts of a row]; None if rows are torn apart."""
    sizes = _sizes(chain[0].inputs[0]) or ()
    length = sizes[-1] if sizes else 0
    moved = np.arange(np.prod(sizes, dtype=np.int64)).reshape(sizes)
    for node in chain:
        moved = _apply(node, moved)
    if length < SHORTEST_ROW or moved.shape[-1] % length:
        return None
    found = moved.reshape(-1, length)
    whole = (found[:, :1] % length == 0).all() and (np.diff(found, axis=1) == 1).all()
    return (found[:, 0] // length).reshape(-1, moved.shape[-1] // length) if whole else None


def _apply(node: ir.Node, values: np.ndarray) -> np.ndarray:
    match node.op_type:
        case "Transpose":
            return values.transpose(node.attributes.get_ints("perm", list(range(values.ndim))[::-1]))
        case "Reshape":
            return values.reshape(_sizes(node.outputs[0]) or ())
    starts, ends, axes, steps = (_numbers(value) for value in node.inputs[1:5])
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        values = values[(slice(None),) * (axis % values.ndim) + (slice(start, end, step),)]
    return values


def _replace(
    model: ir.Model, source: ir.Value, result: ir.Value, rows: np.ndarray, constants: dict[bytes, ir.Value]
) -> None:
    name, length = str(result.name), (_sizes(source) or ())[-1]
    stacked = ir.node(
        "Reshape", [source, _constant(model, np.array([-1, length], np.int64), constants)], name=f"{name}_rows"
    )
    apart = rows[:1] - rows[0, 0]
    nodes = [stacked]
    if rows.shape[1] > 1 and np.array_equal(rows[:, :1] + apart, rows):
        parts = (_constant(model, part.astype(np.int32), constants) for part in (rows[:, :1], apart))
        nodes.append(ir.node("Add", list(parts), name=f"{name}_places"))
        places = nodes[-1].outputs[0]
    else:
        places = _constant(model, rows.astype(np.int32), constants)
    gathered = ir.node("Gather", [stacked.outputs[0], places], {"axis": 0}, name=f"{name}_gather")
    shape = np.array(_sizes(result), np.int64)
    final = ir.node("Reshape", [gathered.outputs[0], _constant(model, shape, constants)], name=f"{name}_gathered")
    producer = result.producer()
    assert producer is not None
    nodes += [gathered, final]
    for node in nodes:
        node.outputs[0].name = f"{node.name}_output"
    final.outputs[0].shape, final.outputs[0].type = result.shape, result.type
    model.graph.insert_before(producer, nodes)
    ir.convenience.replace_all_uses_with(result, final.outputs[0])


def _constant(model: ir.Model, array: np.ndarray, constants: dict[bytes, ir.Value]) -> ir.Value:
    key = f"{array.dtype} {array.shape}".encode() + array.tobytes()
    if key not in constants:
        constants[key] = new_constant(model, f"rows_{len(constants)}", array)
    return constants[key]


def _sizes(value: ir.Value | None) -> tuple[int, ...] | None:
    if value is None or value.shape is None:
        return None
    sizes = tuple(size for size in value.shape if isinstance(size, int))
    return sizes if len(sizes) == len(value.shape) else None


def _numbers(value: ir.Value | None) -> list[int]:
    assert value is not None
    assert value.const_value is not None
    return [int(number) for number in value.const_value.numpy().reshape(-1)]
