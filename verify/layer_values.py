"""The intermediate values of a graph on disk, by the modules that they belong to: one implementation for each target.

What the implementations that write a graph of their own share is here too. A copy of the graph takes the reference's
values as inputs and gives the size of each error. Its parts do not depend on each other then, so they are run a few at
a time, as the values of an image encoder together are two gigabytes.

    x -> op -> v -> next       becomes       x -> op -> v -> |v - reference|
                                             reference -> next
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ..contract import Array, Graph, GraphContract, TensorSpec
from ..runtimes import open_session
from .layer_points import Point
from .layer_reference import ReferenceValues
from .metrics import SNR_CAP_DB

PART_BYTES = 1 << 29

WriteCopy = Callable[[Path, Sequence[Point], Sequence[int]], Collection[str]]
"""Writes to a path what computes the errors of some points, by index; returns the names of the inputs it needs."""


class LayerValues(Protocol):
    """A graph that can be run with its intermediate values replaced."""

    def points(self, reference: ReferenceValues) -> tuple[Point, ...]:
        """Return the values that are known to be a module's, with the reference's in their place."""
        ...

    def snr_db(self, feeds: Mapping[str, Array], points: Sequence[Point]) -> tuple[float, ...]:
        """Return each point's SNR where everything is computed from the reference's values of the other points.

        So an error shows at the module that brings it in, and nowhere after it.
        """
        ...

    def in_known_layout(
        self, feeds: Mapping[str, Array], points: Sequence[Point], snr_db: Sequence[float]
    ) -> tuple[Point, ...]:
        """Return the points without those whose SNR is low only because the graph keeps their axes in another order."""
        ...


def reference_name(index: int) -> str:
    """Return the name of the input that takes the reference's value of a point."""
    return f"reference_{index}"


def error_name(index: int) -> str:
    """Return the name of the output that gives the Euclidean norm of a point's error."""
    return f"error_{index}"


class Copies:
    """Measures the errors of a graph's values by copies of it, on the engine that measures the graph."""

    def __init__(self, graph: Graph, feeds: Mapping[str, Array], write: WriteCopy) -> None:
        self._graph, self._feeds, self._write = graph, feeds, write

    def snr_db(self, points: Sequence[Point], wanted: Sequence[int]) -> tuple[float, ...]:
        """Return the SNR of the wanted points, by index."""
        found: dict[int, float] = {}
        for part in parts(points, wanted):
            with tempfile.TemporaryDirectory(prefix="sam-export-layers-") as folder:
                path = Path(folder) / self._graph.path.name
                contract = _contract(self._graph.contract, points, self._write(path, points, part), part)
                found |= self._run(path, contract, points, part)
        return tuple(found[index] for index in wanted)

    def _run(
        self, path: Path, contract: GraphContract, points: Sequence[Point], part: Sequence[int]
    ) -> dict[int, float]:
        session = open_session(path, contract, self._graph.target, self._graph.recipe)
        given = {reference_name(index): point.reference.numpy() for index, point in enumerate(points)}
        outputs = session.run({name: {**self._feeds, **given}[name] for name in contract.input_names})
        return {index: snr_of_error(points[index].reference, float(outputs[error_name(index)])) for index in part}


def parts(points: Sequence[Point], wanted: Sequence[int]) -> Iterator[list[int]]:
    """Yield the wanted indices in runs whose points are no more than `PART_BYTES`, or one point."""
    part: list[int] = []
    for index in wanted:
        if part and sum(points[other].reference.nbytes for other in (*part, index)) > PART_BYTES:
            yield part
            part = []
        part.append(index)
    if part:
        yield part


def _contract(
    contract: GraphContract, points: Sequence[Point], needed: Collection[str], part: Sequence[int]
) -> GraphContract:
    references = [
        TensorSpec(reference_name(index), tuple(point.reference.shape), "float32", point.value)
        for index, point in enumerate(points)
    ]
    errors = tuple(TensorSpec(error_name(index), (), "float32", points[index].value) for index in part)
    inputs = tuple(spec for spec in (*contract.inputs, *references) if spec.name in needed)
    return GraphContract(contract.component, inputs, errors)


def snr_of_error(reference: Tensor, error: float) -> float:
    """Return the SNR in dB of a value whose error has this Euclidean norm, as `metrics.snr_db` does."""
    signal = float(torch.linalg.vector_norm(reference, dtype=torch.float64))
    if not math.isfinite(error) or (signal == 0 and error > 0):
        return -SNR_CAP_DB
    if error == 0:
        return SNR_CAP_DB
    return max(-SNR_CAP_DB, min(SNR_CAP_DB, 20 * math.log10(signal / error)))
