"""Where a graph's values are a module's values: at the module's own inputs and outputs.

Pure functions of a graph's operations. What cannot be told apart is left out, not guessed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from .layer_reference import Folded, ReferenceValues, common_module

Shape = tuple[int | None, ...]
Layout = tuple[int, ...]
# As it is, channels last, channels first: of four axes.
LAYOUTS: tuple[Layout, ...] = ((0, 1, 2, 3), (0, 2, 3, 1), (0, 3, 1, 2))

# A value in another layout has nothing to do with the reference's, but that both may have the same mean.
DOUBTFUL_DB = 15.0

Claims = dict[str, list[Tensor]]
"""By value: what each of the modules around it says that PyTorch has in its place."""

Measure = Callable[["Sequence[Point]", Sequence[int]], Sequence[float]]
"""Returns the SNR, in dB, of some of the points, by index."""


@dataclass(frozen=True)
class GraphOp:
    """One operation. `module` computes it, None where its name does not say.

    `inputs` and `outputs` are names of values; constants and what is not floating point are left out.
    """

    module: str | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class ScopedGraph:
    """A graph's operations in any order. `shapes`: by value, None for a size that depends on the feeds."""

    ops: tuple[GraphOp, ...]
    outputs: tuple[str, ...]
    shapes: Mapping[str, Shape | None]


@dataclass(frozen=True, eq=False)
class Point:
    """A value of a graph, what PyTorch has in its place, and the module that made it.

    `is_given`: whether what follows in the graph is computed from the reference's value.
    """

    value: str
    module: str
    reference: Tensor
    is_given: bool = True


def boundary_points(graph: ScopedGraph, reference: ReferenceValues) -> tuple[Point, ...]:
    """Return a point for every value that is what one module of the reference takes or gives.

    A value that modules claim for different tensors is left out.
    """
    ops = with_modules(graph.ops)
    scopes = [frozenset(around(op.module)) for op in ops]
    folded = Folded(reference, frozenset().union(*scopes))
    claims: Claims = defaultdict(list)
    fed = reference.modules[""].inputs
    for name, values in reference.modules.items():
        taken, given = _boundary(ops, [name in scope for scope in scopes], graph.outputs)
        computed = [tensor for tensor in values.inputs if not any(tensor is other for other in fed)]
        for value, tensor in (*_matches(taken, computed, graph), *_matches(given, values.outputs, graph)):
            claims[value].append(tensor)
    return agreed(claims, [value for op in ops for value in op.outputs], folded, reference)


def agreed(claims: Claims, order: Iterable[str], folded: Folded, reference: ReferenceValues) -> tuple[Point, ...]:
    """Return a point for each value that is claimed for one tensor only, and for the graph's outputs, in `order`.

    Of several values for one tensor it is the first: what comes after it has been rounded or scaled for its users.
    """
    settled = {value: [folded.last(tensor) for tensor in tensors] for value, tensors in claims.items()}
    settled |= {name: [folded.last(tensor)] for name, tensor in reference.outputs.items()}
    found: dict[int, Point] = {}
    for value in order:
        tensors = settled.get(value, [])
        if tensors and all(tensor is tensors[0] for tensor in tensors):
            found.setdefault(id(tensors[0]), Point(value, folded.module(tensors[0]), tensors[0]))
    return tuple(found.values())


def in_known_layout(points: Sequence[Point], snr_db: Sequence[float], measure: Measure) -> tuple[Point, ...]:
    """Return the points without those that the graph has with their channels last, or first, where PyTorch has not.

    Converters move transpositions about, also out of modules. Shapes show it, unless there are as many channels as
    rows and columns. Of such values, those that do not fit are compared in each layout, and the best one counts.
    """
    unclear = [
        point
        for point, found in zip(points, snr_db, strict=True)
        if found < DOUBTFUL_DB and len(_layouts(point.reference)) > 1
    ]
    sure = [point for point in points if point not in unclear]
    turned = [(point, layout) for point in unclear for layout in _layouts(point.reference)]
    tried = [replace(point, reference=point.reference.permute(layout), is_given=False) for point, layout in turned]
    best: dict[str, tuple[float, Layout]] = {}
    compared = measure([*sure, *tried], range(len(sure), len(sure) + len(tried)))
    for (point, layout), found in zip(turned, compared, strict=True):
        if point.value not in best or found > best[point.value][0]:
            best[point.value] = found, layout
    wrong = {value for value, (_, layout) in best.items() if layout != LAYOUTS[0]}
    return tuple(point for point in points if point.value not in wrong)


def _layouts(tensor: Tensor) -> tuple[Layout, ...]:
    """Return the layouts in which the tensor has the same shape, its own first."""
    if tensor.dim() != len(LAYOUTS[0]):
        return LAYOUTS[:1]
    return tuple(layout for layout in LAYOUTS if tensor.permute(layout).shape == tensor.shape)


def with_modules(ops: Sequence[GraphOp]) -> tuple[GraphOp, ...]:
    """Return the operations, those whose name says nothing with the module of what uses them, or of what they use."""
    makers = {value: index for index, op in enumerate(ops) for value in op.outputs}
    users: dict[str, list[int]] = defaultdict(list)
    for index, op in enumerate(ops):
        for value in op.inputs:
            users[value].append(index)
    after = [[user for value in op.outputs for user in users[value]] for op in ops]
    before = [[makers[value] for value in op.inputs if value in makers] for op in ops]
    modules = [op.module for op in ops]
    _spread(modules, after, all_known=True)
    _spread(modules, before, all_known=False)
    _spread(modules, after, all_known=True)
    return tuple(replace(op, module=module or "") for op, module in zip(ops, modules, strict=True))


def _spread(modules: list[str | None], neighbours: Sequence[Sequence[int]], *, all_known: bool) -> None:
    """Give a module to every operation whose neighbours have one (all or any of them), until no more can be given."""
    changed = True
    while changed:
        changed = False
        for index, module in enumerate(modules):
            found = [modules[neighbour] for neighbour in neighbours[index]]
            names = [name for name in found if name is not None]
            if module is None and names and (len(names) == len(found) or not all_known):
                modules[index] = common_module(names)
                changed = True


def around(module: str | None) -> Iterator[str]:
    """Yield the module and all that it is in, "" last."""
    parts = module.split(".") if module else []
    for length in range(len(parts), -1, -1):
        yield ".".join(parts[:length])


def _boundary(ops: Sequence[GraphOp], inside: Sequence[bool], outputs: Sequence[str]) -> tuple[set[str], set[str]]:
    """Return the values that the operations inside take from the others, and those that they give to them or out."""
    made, read = {True: set[str](), False: set[str]()}, {True: set[str](), False: set(outputs)}
    for op, is_inside in zip(ops, inside, strict=True):
        made[is_inside].update(op.outputs)
        read[is_inside].update(op.inputs)
    return read[True] & made[False], made[True] & read[False]


def _matches(values: set[str], tensors: Sequence[Tensor], graph: ScopedGraph) -> Iterator[tuple[str, Tensor]]:
    """Yield the values that fit one tensor by their shape, then those that fit one of the rest, and so on.

    Two values that fit the same one are left out, and it with them.
    """
    left = {id(tensor): tensor for tensor in tensors}
    fitting = {value: {key for key in left if _fits(left[key], graph.shapes.get(value))} for value in values}
    while sole := {value: key for value in fitting if len(keys := fitting[value] & left.keys()) == 1 for key in keys}:
        for value, key in sole.items():
            del fitting[value]
            if list(sole.values()).count(key) == 1:
                yield value, left[key]
        left = {key: tensor for key, tensor in left.items() if key not in sole.values()}


def _fits(tensor: Tensor, shape: Shape | None) -> bool:
    return (
        shape is not None
        and tensor.dim() == len(shape)
        and all(size in (None, side) for size, side in zip(shape, tensor.shape, strict=True))
    )
