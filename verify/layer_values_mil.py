"""Intermediate values of a Core ML program, by the order of its operations.

A package keeps no names of modules, and the names that it has change with the precision. But convolutions, linear
layers and norms stay single operations in the order in which PyTorch calls them, with the shapes that PyTorch gives
them. Where the two sequences differ, what fits nothing is left out. The MIL evaluator runs them on every platform.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher

import numpy as np
import torch
from torch import Tensor

from ..contract import Array, Graph
from .layer_points import Claims, Point, agreed
from .layer_reference import KINDS, Call, Folded, ReferenceValues
from .layer_values import snr_of_error
from .mil.evaluate import Evaluator, OnTensor, round_to_float16_
from .mil.ops import HANDLERS, VIEWS
from .mil.program import Operation, Reference, load_program

Shape = tuple[int, ...]
NOTHING = torch.zeros(1)


class MilLayerValues:
    """Satisfies `LayerValues`."""

    def __init__(self, graph: Graph) -> None:
        self._program = load_program(graph.path, HANDLERS.keys())
        self._known = [op for op in self._program.operations if op.type in KINDS.values()]

    def points(self, reference: ReferenceValues) -> tuple[Point, ...]:
        shapes: dict[str, Shape] = {}
        exact = Evaluator(self._program, rounding="none")  # the shapes do not depend on it, and it takes half the time
        self._run(exact, reference.feeds, lambda _, name, value: shapes.update({name: tuple(value.shape)}))
        calls, folded = self._called(reference)
        claims: Claims = defaultdict(list)
        for operation, call in _aligned(self._known, calls, shapes, folded):
            claims[self._result(operation, call)].append(call.output)
            source = operation.inputs.get("x")
            if isinstance(source, Reference) and shapes.get(source.name) == tuple(call.input.shape):
                claims[source.name].append(call.input)
        return agreed(claims, shapes, folded, reference)

    def snr_db(self, feeds: Mapping[str, Array], points: Sequence[Point]) -> tuple[float, ...]:
        references = {point.value: point.reference for point in points}
        found: dict[str, float] = {}

        def compare(operation: Operation, name: str, value: Tensor) -> None:
            if name in references:
                is_view, half = operation.type in VIEWS, _is_half(operation, name)
                if half and not is_view:  # it is seen before it is rounded, and a view is what is rounded already
                    round_to_float16_(value)
                error = float(torch.linalg.vector_norm(value - references[name]))
                found[name] = snr_of_error(references[name], error)
                value.copy_(references[name])
                if half and is_view:
                    round_to_float16_(value)

        self._run(Evaluator(self._program), feeds, compare)
        return tuple(found[point.value] for point in points)

    def in_known_layout(
        self, feeds: Mapping[str, Array], points: Sequence[Point], snr_db: Sequence[float]
    ) -> tuple[Point, ...]:
        """Operations and calls of one kind have one layout."""
        del feeds, snr_db
        return tuple(points)

    def _result(self, operation: Operation, call: Call) -> str:
        """Return the name of what the call gives; a converter may leave its bias to an addition behind it."""
        result, constants = operation.outputs[0].name, self._program.constants
        bias = operation.inputs.get("bias")
        if not call.has_bias or (isinstance(bias, Reference) and constants.get(bias.name, NOTHING).any()):
            return result
        for other in self._program.operations:
            names = set(other.references())
            if other.type == "add" and result in names and names & constants.keys():
                return other.outputs[0].name
        return result

    def _called(self, reference: ReferenceValues) -> tuple[list[Call], Folded]:
        """Return the calls that have an operation; batch norms have none where convolutions hold them."""
        kinds = {operation.type for operation in self._known}
        calls = [call for call in reference.calls if call.kind in kinds]
        return calls, Folded(reference, {call.module for call in calls})

    def _run(self, evaluator: Evaluator, feeds: Mapping[str, Array], on_tensor: OnTensor) -> None:
        tensors = {port.name: port.tensor(np.asarray(feeds[port.name])) for port in self._program.inputs}
        evaluator.run(tensors, on_tensor)


def _aligned(
    operations: Sequence[Operation], calls: Sequence[Call], shapes: Mapping[str, Shape], folded: Folded
) -> Iterator[tuple[Operation, Call]]:
    """Yield the operations and calls that are of one kind and one shape, in one order."""
    here = [(operation.type, shapes[operation.outputs[0].name]) for operation in operations]
    there = [(call.kind, tuple(folded.last(call.output).shape)) for call in calls]
    for block in SequenceMatcher(None, here, there, autojunk=False).get_matching_blocks():
        yield from zip(operations[block.a :][: block.size], calls[block.b :][: block.size], strict=True)


def _is_half(operation: Operation, name: str) -> bool:
    return any(output.name == name and output.dtype == "fp16" for output in operation.outputs)
