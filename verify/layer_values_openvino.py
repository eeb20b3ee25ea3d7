"""Intermediate values of an OpenVINO IR, by the names that its operations keep from the ONNX graph it is made from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ..contract import Array, Graph
from ..optional import import_openvino
from .layer_points import GraphOp, Point, ScopedGraph, Shape, boundary_points, in_known_layout
from .layer_reference import ReferenceValues
from .layer_scopes import module_of
from .layer_values import Copies, error_name, reference_name

NOT_COMPUTED = ("Constant", "Parameter", "Result")


class OpenVinoLayerValues:
    """Satisfies `LayerValues`. The graph may be quantized: operations are found by the beginnings of their names.

    Where the graph's recipe computes in bf16, so does the comparison: what is above some 50 dB may count as exact.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._openvino = import_openvino(purpose="finding the worst layers", extra="openvino")
        self._core = self._openvino.Core()
        self._model = self._core.read_model(graph.path)
        self._ops = [op for op in self._model.get_ordered_ops() if op.get_type_name() not in NOT_COMPUTED]

    def points(self, reference: ReferenceValues) -> tuple[Point, ...]:
        return boundary_points(self._scoped(reference.modules), reference)

    def snr_db(self, feeds: Mapping[str, Array], points: Sequence[Point]) -> tuple[float, ...]:
        return Copies(self._graph, feeds, self._write).snr_db(points, range(len(points)))

    def in_known_layout(
        self, feeds: Mapping[str, Array], points: Sequence[Point], snr_db: Sequence[float]
    ) -> tuple[Point, ...]:
        return in_known_layout(points, snr_db, Copies(self._graph, feeds, self._write).snr_db)

    def _write(self, path: Path, points: Sequence[Point], part: Sequence[int]) -> set[str]:
        """Works on a model of its own, since the changes are made in place."""
        model = self._core.read_model(self._graph.path)
        outputs = {_name(output): output for op in model.get_ordered_ops() for output in op.outputs()}
        outputs |= {_output_name(result): result.input_value(0) for result in model.get_results()}
        references, results = [], []
        for index, point in enumerate(points):
            references.append(_reference(self._openvino, outputs[point.value], index, point))
            if index in part:
                results.append(_error(self._openvino, outputs[point.value], references[-1], index))
        used = _used_by(results)
        inputs = [op for op in (*model.get_parameters(), *references) if op.get_friendly_name() in used]
        self._openvino.save_model(self._openvino.Model(results, inputs), path, compress_to_fp16=False)
        return {str(min(op.output(0).get_names())) for op in inputs}

    def _scoped(self, modules: Collection[str]) -> ScopedGraph:
        named = {_name(result.input_value(0)): _output_name(result) for result in self._model.get_results()}
        floats = {
            _name(output): named.get(_name(output), _name(output))
            for op in self._ops
            for output in op.outputs()
            if output.get_element_type().is_real()
        }
        ops = [
            GraphOp(
                module_of(op.get_friendly_name(), modules),
                tuple(floats[name] for name in map(_name, op.input_values()) if name in floats),
                tuple(floats[name] for name in map(_name, op.outputs()) if name in floats),
            )
            for op in self._ops
        ]
        shapes = {
            floats[_name(output)]: _shape(output)
            for op in self._ops
            for output in op.outputs()
            if _name(output) in floats
        }
        return ScopedGraph(tuple(ops), tuple(named.values()), shapes)


def _reference(openvino: ModuleType, value: Any, index: int, point: Point) -> Any:
    """Return a new input of the model, which all that uses the value uses instead if the point says so."""
    users = list(value.get_target_inputs())
    shape, name = list(point.reference.shape), reference_name(index)
    reference = openvino.opset13.parameter(shape, openvino.Type.f32, name)
    reference.output(0).set_names({name})
    if point.is_given:
        given = openvino.opset13.convert(reference, value.get_element_type().get_type_name())
        for user in users:
            user.replace_source_output(given.output(0))
    return reference


def _error(openvino: ModuleType, value: Any, reference: Any, index: int) -> Any:
    """Return a new output of the model, the Euclidean norm of the value's error."""
    opset = openvino.opset13
    difference = opset.subtract(opset.convert(value, "f32"), reference)
    axes = opset.constant(list(range(len(reference.get_output_shape(0)))), openvino.Type.i64)
    error = opset.reduce_l2(difference, axes, keep_dims=False)
    error.output(0).set_names({error_name(index)})
    return opset.result(error)


def _used_by(results: Sequence[Any]) -> set[str]:
    """Return the names of all operations that the results are computed from."""
    waiting, found = list(results), set[str]()
    while waiting:
        op = waiting.pop()
        if op.get_friendly_name() not in found:
            found.add(op.get_friendly_name())
            waiting += [source.get_node() for source in op.input_values()]
    return found


def _name(output: Any) -> str:
    return f"{output.get_node().get_friendly_name()}:{output.get_index()}"


def _output_name(result: Any) -> str:
    return str(min(result.output(0).get_names()))


def _shape(output: Any) -> Shape | None:
    shape = output.get_partial_shape()
    if shape.rank.is_dynamic:
        return None
    return tuple(size.get_length() if size.is_static else None for size in shape)
