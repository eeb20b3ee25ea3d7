"""An ONNX graph from a stranger, before onnxruntime opens it.

Field numbers and the ways to store a tensor are those of onnx/onnx, `onnx/onnx.proto`.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path

from ...errors import BundleError
from .onnx_tensor import require_sound_tensor
from .wire import UnsoundError, fields, part, text

# Exporters write no other; contrib ops of engines read files of their own (EPContext).
DOMAINS = ("", "ai.onnx")
# SAM ViT-H has 3,000 nodes.
MAX_NODES = 2**16
# A decoder has two: prompts with masks, and without.
MAX_BRANCHES = 16

MODEL_GRAPH, MODEL_TRAINING, MODEL_FUNCTIONS = 7, 20, 25
GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_SPARSE = 1, 5, 15
NODE_OP_TYPE, NODE_ATTRIBUTE, NODE_DOMAIN = 4, 5, 7
ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH, ATTRIBUTE_TENSORS, ATTRIBUTE_GRAPHS = 5, 6, 10, 11
ATTRIBUTE_SPARSE = (22, 23)


def require_sound_onnx(path: Path) -> None:
    """Raise unless the file is a graph of plain ops whose tensors have the bytes that their shapes need.

    Weights may lie in a file beside it. An If may have its two branches, of plain ops. Refused, since no exporter here
    writes them: loops, branches within branches, functions, sparse tensors, and ops of other domains than ONNX's own.

    Raises:
        BundleError: it is not; the text says what was found.
    """
    try:
        _check_model(_mapped(path), path.parent)
    except UnsoundError as exc:
        raise BundleError(f"{path}: not a graph that is safe to open ({exc}); export or copy it again") from exc


def _mapped(path: Path) -> memoryview:
    """Return the file's bytes, of which only those that are looked at are read from the disk."""
    with path.open("rb") as stream:
        if path.stat().st_size == 0:
            raise UnsoundError("an empty file")
        return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))


def _check_model(model: memoryview, folder: Path) -> None:
    graphs = []
    for number, value in fields(model):
        if number in (MODEL_FUNCTIONS, MODEL_TRAINING):
            raise UnsoundError("functions or training steps, allowed: one plain graph")
        if number == MODEL_GRAPH:
            graphs.append(part(value))
    if len(graphs) != 1:
        raise UnsoundError(f"{len(graphs)} graphs, allowed: 1")
    branches: list[memoryview] = []
    nodes = _check_graph(graphs[0], folder, branches)
    if len(branches) > MAX_BRANCHES:
        raise UnsoundError(f"{len(branches)} branches, at most {MAX_BRANCHES} are opened")
    nodes += sum(_check_graph(branch, folder, None) for branch in branches)
    if nodes > MAX_NODES:
        raise UnsoundError(f"{nodes} nodes, at most {MAX_NODES} are opened")


def _check_graph(graph: memoryview, folder: Path, branches: list[memoryview] | None) -> int:
    """Return how many nodes it has; add the graphs within it to `branches`, of which None allows none."""
    nodes = 0
    for number, value in fields(graph):
        if number == GRAPH_SPARSE:
            raise UnsoundError("a sparse tensor, allowed: dense ones")
        if number == GRAPH_INITIALIZER:
            require_sound_tensor(part(value), folder)
        if number == GRAPH_NODE:
            nodes += 1
            _check_node(part(value), folder, branches)
    return nodes


@dataclass(frozen=True, slots=True)
class _Node:
    op_type: str
    domain: str
    attributes: tuple[memoryview, ...]


def _node(node: memoryview) -> _Node:
    found = tuple(fields(node))
    last = dict(found)
    return _Node(
        op_type=text(last.get(NODE_OP_TYPE, memoryview(b""))),
        domain=text(last.get(NODE_DOMAIN, memoryview(b""))),
        attributes=tuple(part(value) for number, value in found if number == NODE_ATTRIBUTE),
    )


def _check_node(message: memoryview, folder: Path, branches: list[memoryview] | None) -> None:
    node = _node(message)
    if node.domain not in DOMAINS:
        raise UnsoundError(f"op {node.op_type[:80]!r} of the domain {node.domain[:80]!r}, allowed: ONNX's own ops")
    for attribute in node.attributes:
        tensors, graphs = _content(attribute, node.op_type)
        for tensor in tensors:
            require_sound_tensor(tensor, folder)
        if graphs and (branches is None or node.op_type != "If"):
            raise UnsoundError(f"op {node.op_type[:80]!r} with a graph in it, allowed: plain ops")
        if branches is not None:
            branches += graphs


def _content(attribute: memoryview, op_type: str) -> tuple[list[memoryview], list[memoryview]]:
    """Return the tensors and the graph of an attribute."""
    found: dict[int, list[memoryview]] = {
        number: [] for number in (ATTRIBUTE_TENSOR, ATTRIBUTE_TENSORS, ATTRIBUTE_GRAPH)
    }
    for number, value in fields(attribute):
        if number in (ATTRIBUTE_GRAPHS, *ATTRIBUTE_SPARSE):
            raise UnsoundError(f"op {op_type[:80]!r} with several graphs or a sparse tensor in it, allowed: plain ops")
        if number in found:
            found[number].append(part(value))
    for number in (ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH):
        # A parser merges a second one into the first, so that what is checked would not be what is opened.
        if len(found[number]) > 1:
            raise UnsoundError(f"op {op_type[:80]!r} with one tensor or graph in several parts")
    return found[ATTRIBUTE_TENSOR] + found[ATTRIBUTE_TENSORS], found[ATTRIBUTE_GRAPH]
