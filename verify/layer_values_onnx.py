"""Intermediate values of an ONNX graph, by the scopes in the names of its nodes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from ..contract import Array, Graph
from .layer_points import GraphOp, Point, ScopedGraph, Shape, boundary_points
from .layer_reference import ReferenceValues
from .layer_scopes import module_of
from .layer_values import Copies, error_name, reference_name

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)


class OnnxLayerValues:
    """Satisfies `LayerValues`. The file may be quantized: nodes are found by the beginnings of their names."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._model = onnx.shape_inference.infer_shapes(_with_masks(onnx.load(graph.path)))
        values = (*self._model.graph.value_info, *self._model.graph.input, *self._model.graph.output)
        self._types = {value.name: value.type.tensor_type for value in values}

    def points(self, reference: ReferenceValues) -> tuple[Point, ...]:
        return boundary_points(self._scoped(reference.modules), reference)

    def snr_db(self, feeds: Mapping[str, Array], points: Sequence[Point]) -> tuple[float, ...]:
        return Copies(self._graph, feeds, self._write).snr_db(points, range(len(points)))

    def in_known_layout(
        self, feeds: Mapping[str, Array], points: Sequence[Point], snr_db: Sequence[float]
    ) -> tuple[Point, ...]:
        """No pass of the ONNX exporter moves a transposition."""
        del feeds, snr_db
        return tuple(points)

    def _scoped(self, modules: Collection[str]) -> ScopedGraph:
        nodes, stored = self._model.graph.node, {tensor.name for tensor in self._model.graph.initializer}
        floats = {name for name, kind in self._types.items() if kind.elem_type in FLOATS} - stored
        ops = [
            GraphOp(
                module_of(node.name, modules),
                tuple(name for name in node.input if name in floats),
                tuple(name for name in node.output if name in floats),
            )
            for node in nodes
        ]
        outputs = tuple(value.name for value in self._model.graph.output)
        return ScopedGraph(tuple(ops), outputs, {name: _shape(self._types[name]) for name in floats})

    def _write(self, path: Path, points: Sequence[Point], part: Sequence[int]) -> set[str]:
        wanted = {error_name(index) for index in part}
        nodes = []
        for node in reversed(self._nodes(points)):
            if wanted.intersection(node.output):
                nodes.append(node)
                wanted.update(node.input)
        references = [_float_info(reference_name(i), point.reference.shape) for i, point in enumerate(points)]
        graph = helper.make_graph(
            nodes[::-1],
            self._model.graph.name,
            [value for value in (*self._model.graph.input, *references) if value.name in wanted],
            [_float_info(error_name(index), ()) for index in part],
            [tensor for tensor in self._model.graph.initializer if tensor.name in wanted],
        )
        imports, version = self._model.opset_import, self._model.ir_version
        onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=version), path)
        return {value.name for value in graph.input}

    def _nodes(self, points: Sequence[Point]) -> list[onnx.NodeProto]:
        """Return the graph's nodes, fed with the references at all points, and those that compute the errors."""
        given = {point.value: f"{reference_name(i)}_given" for i, point in enumerate(points) if point.is_given}
        before, inside = [], []
        after: list[onnx.NodeProto] = []
        for index, point in enumerate(points):
            if point.is_given:
                kind = self._types[point.value].elem_type
                before.append(helper.make_node("Cast", [reference_name(index)], [given[point.value]], to=kind))
            after += _error_nodes(point.value, index)
        for node in self._model.graph.node:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.input[:] = [given.get(name, name) for name in node.input]
            inside.append(copy)
        return [*before, *inside, *after]


def _with_masks(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph as it was before `onnx_masks` put what embeds masks into a branch."""
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        if node.op_type != "If":
            model.graph.node.append(node)
            continue
        branch = next(attribute.g for attribute in node.attribute if attribute.name == "then_branch")
        branch.node[-1].output[:] = node.output
        model.graph.node.extend(branch.node)
        model.graph.initializer.extend(branch.initializer)
    return model


def _error_nodes(value: str, index: int) -> Iterator[onnx.NodeProto]:
    name = error_name(index)
    yield helper.make_node("Cast", [value], [f"{name}_value"], to=TensorProto.FLOAT)
    yield helper.make_node("Sub", [f"{name}_value", reference_name(index)], [f"{name}_difference"])
    yield helper.make_node("ReduceL2", [f"{name}_difference"], [name], keepdims=0)


def _float_info(name: str, shape: Sequence[int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _shape(kind: onnx.TypeProto.Tensor) -> Shape | None:
    if not kind.HasField("shape"):
        return None
    return tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim)
