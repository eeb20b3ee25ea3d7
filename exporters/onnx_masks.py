"""Embeds masks only where a prompt has one: a first click has none, and neither has a box.

trace    mask_input -> space to depth, products, norms -> Where(has_mask_input, ·, "no mask") -> Add(·, image)
here     any of has_mask_input -> If(all of that, else "no mask" -> Add(·, image))

Both give the same numbers. What is embedded for nobody is a twentieth of a prompt's time in onnxruntime, and up to a
sixth where products are in 8 bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from .onnx_shapes import new_constant

MASKS, PRESENT = "mask_input", "has_mask_input"


class Embedding(NamedTuple):
    """`nodes`: what serves the embedded masks alone, in order; `choice`: the Where; `total`: the Add behind it."""

    nodes: list[ir.Node]
    choice: ir.Node
    total: ir.Node


def skip_absent_masks(model: ir.Model) -> None:
    """Rewrite in place. A graph whose masks do not go through one Where into one Add is left as it is."""
    found = _embedding(model.graph)
    if found is None:
        return
    total, without = found.total.outputs[0], _without_masks(found)
    some = _some_mask(model, found.total)
    chosen = ir.node("If", [some.outputs[0]], name="masks")
    result = chosen.outputs[0]
    result.name, result.type, result.shape = total.name, total.type, total.shape
    ir.convenience.replace_all_uses_with(total, result)
    total.name = f"{total.name}_with_masks"
    model.graph.insert_after(some, chosen)
    taken = _taken_out(model.graph, (*found.nodes, found.choice, found.total))
    for name, branch in (("then_branch", taken), ("else_branch", without)):
        chosen.attributes.add(ir.AttrGraph(name, branch))


def _embedding(graph: ir.Graph) -> Embedding | None:
    masks = next((value for value in graph.inputs if value.name == MASKS), None)
    if masks is None:
        return None
    reached: set[ir.Node] = set()
    choices: set[ir.Node] = set()
    for node in graph:
        if any(value is masks or (value is not None and value.producer() in reached) for value in node.inputs):
            (choices if node.op_type == "Where" else reached).add(node)
    total = _only_use(*choices) if len(choices) == 1 else None
    if (
        total is None
        or total.op_type != "Add"
        or any(out.is_graph_output() for node in reached for out in node.outputs)
    ):
        return None
    (choice,) = choices
    return Embedding(_with_sources(graph, reached), choice, total)


def _only_use(node: ir.Node) -> ir.Node | None:
    uses = list(node.outputs[0].uses())
    return uses[0].node if len(uses) == 1 else None


def _with_sources(graph: ir.Graph, reached: set[ir.Node]) -> list[ir.Node]:
    """Return the nodes and those that nothing else uses: stored codes that become weights, for one."""
    whole = set(reached)
    for node in reversed(graph):
        uses = [use.node for out in node.outputs for use in out.uses()]
        if uses and all(use in whole for use in uses):
            whole.add(node)
    return [node for node in graph if node in whole]


def _some_mask(model: ir.Model, before: ir.Node) -> ir.Node:
    """Return what tells whether any prompt has a mask, before the node."""
    present = next(value for value in model.graph.inputs if value.name == PRESENT)
    most = ir.node("ReduceMax", [present], {"keepdims": 0}, name="masks/most")
    half = new_constant(model, "masks/half", np.array(0.5, np.float32))
    some = ir.node("Greater", [most.outputs[0], half], name="masks/some")
    for node in (most, some):
        node.outputs[0].name = f"{node.name}_output"
    model.graph.insert_before(before, [most, some])
    return some


def _without_masks(found: Embedding) -> ir.Graph:
    condition, _, nobody = found.choice.inputs
    chosen = ir.node("Where", [condition, nobody, nobody], name=f"{found.choice.name}_without_masks")
    old = found.choice.outputs[0]
    inputs = [chosen.outputs[0] if value is old else value for value in found.total.inputs]
    added = ir.node("Add", inputs, name=f"{found.total.name}_without_masks")
    for node in (chosen, added):
        node.outputs[0].name = f"{node.name}_output"
    out, total = added.outputs[0], found.total.outputs[0]
    out.type, out.shape = total.type, total.shape
    return ir.Graph([], [out], nodes=[chosen, added], name="without_masks")


def _taken_out(graph: ir.Graph, nodes: Iterable[ir.Node]) -> ir.Graph:
    """Return the nodes as a graph of their own, which gives what the last one does, with what is stored for them."""
    nodes = list(nodes)
    own = set(nodes)
    stored = [
        value for value in graph.initializers.values() if value.uses() and all(use.node in own for use in value.uses())
    ]
    graph.remove(nodes)
    for value in stored:
        del graph.initializers[str(value.name)]
    return ir.Graph([], [nodes[-1].outputs[0]], nodes=nodes, initializers=stored, name="with_masks")
