"""Which values of a graph are a module's, by hand-made graphs of `first` and `second`, in a row."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from sam_export.verify.layer_points import (
    LAYOUTS,
    GraphOp,
    Point,
    ScopedGraph,
    around,
    boundary_points,
    in_known_layout,
    with_modules,
)
from sam_export.verify.layer_reference import Call, ModuleValues, ReferenceValues
from sam_export.verify.metrics import snr_db

IMAGE, HIDDEN, OUTPUT = torch.zeros(1, 2), torch.zeros(1, 3), torch.zeros(1, 4)
MODULES = {
    "first": ModuleValues((IMAGE,), (HIDDEN,)),
    "second": ModuleValues((HIDDEN,), (OUTPUT,)),
    "": ModuleValues((IMAGE,), (OUTPUT,)),
}
OWNERS = {id(IMAGE): "", id(HIDDEN): "first", id(OUTPUT): "second"}
REFERENCE = ReferenceValues({}, MODULES, (), {"out": OUTPUT}, OWNERS)
SHAPES = {"hidden": (1, 3), "given": (1, 3), "out": (None, 4)}


def points(
    *ops: GraphOp, shapes: dict[str, tuple[int | None, ...]] = SHAPES, reference: ReferenceValues = REFERENCE
) -> list[tuple[str, str]]:
    found = boundary_points(ScopedGraph(ops, ("out",), shapes), reference)
    assert all(isinstance(point, Point) for point in found)
    return [(point.value, point.module) for point in found]


def test_a_value_between_modules_is_the_one_that_makes_it() -> None:
    found = points(GraphOp("first", (), ("hidden",)), GraphOp("second", ("hidden",), ("out",)))
    assert found == [("hidden", "first"), ("out", "second")]


def test_what_a_module_keeps_to_itself_is_no_point() -> None:
    found = points(
        GraphOp("first", (), ("given",)),
        GraphOp("first", ("given",), ("hidden",)),
        GraphOp("second", ("hidden",), ("out",)),
    )
    assert found == [("hidden", "first"), ("out", "second")]


def test_of_two_values_of_one_tensor_it_is_the_first() -> None:
    """The second one is scaled for `second`, so it is not what `first` gives."""
    scaling = GraphOp("", ("hidden",), ("given",))
    found = points(GraphOp("first", (), ("hidden",)), scaling, GraphOp("second", ("given",), ("out",)))
    assert found == [("hidden", "first"), ("out", "second")]


@pytest.mark.parametrize("shape", [(1, 5), (3, 1), (1, 3, 1), None])
def test_a_value_of_another_shape_is_no_point(shape: tuple[int, ...] | None) -> None:
    ops = GraphOp("first", (), ("hidden",)), GraphOp("second", ("hidden",), ("out",))
    assert points(*ops, shapes={**SHAPES, "hidden": shape}) == [("out", "second")]


def test_two_values_that_fit_one_tensor_are_left_out() -> None:
    found = points(GraphOp("first", (), ("hidden", "given")), GraphOp("", ("hidden", "given"), ("out",)))
    assert found == [("out", "second")]


def test_the_shape_that_fits_one_tensor_settles_the_others() -> None:
    """`hidden` may be either tensor, `given` only one of them."""
    other = torch.zeros(1, 7)
    modules = {**MODULES, "first": ModuleValues((IMAGE,), (HIDDEN, other))}
    reference = ReferenceValues({}, modules, (), {"out": OUTPUT}, {**OWNERS, id(other): "first"})
    ops = GraphOp("first", (), ("given", "hidden")), GraphOp("", ("given", "hidden"), ("out",))
    found = points(*ops, shapes={"hidden": (1, None), "given": (1, 7), "out": (1, 4)}, reference=reference)
    assert found == [("given", "first"), ("hidden", "first"), ("out", "second")]


def test_a_batch_norm_without_an_operation_lies_in_what_is_before_it() -> None:
    normed = torch.zeros(1, 3)
    modules = {
        "block.conv": ModuleValues((IMAGE,), (HIDDEN,)),
        "block.norm": ModuleValues((HIDDEN,), (normed,)),
        "second": ModuleValues((normed,), (OUTPUT,)),
        "": ModuleValues((IMAGE,), (OUTPUT,)),
    }
    owners = {id(HIDDEN): "block.conv", id(normed): "block.norm", id(OUTPUT): "second"}
    calls = (Call("batch_norm", "block.norm", HIDDEN, normed),)
    reference = ReferenceValues({}, modules, calls, {"out": OUTPUT}, owners)
    conv, second = GraphOp("block.conv", (), ("hidden",)), GraphOp("second", ("hidden",), ("out",))
    (point, _) = boundary_points(ScopedGraph((conv, second), ("out",), SHAPES), reference)
    assert point.reference is normed
    assert point.module == "block"
    norm = GraphOp("block.norm", ("hidden",), ("given",))
    found = points(conv, norm, GraphOp("second", ("given",), ("out",)), reference=reference)
    assert found == [("hidden", "block.conv"), ("given", "block.norm"), ("out", "second")]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_value_in_another_layout_is_left_out(layout: tuple[int, ...]) -> None:
    """Of a cube, which looks the same from every side, and a picture, which does not."""
    cube, picture = torch.rand(1, 4, 4, 4), torch.rand(1, 3, 4, 4)
    in_graph = {"cube": cube.permute(layout), "picture": picture}
    asked: list[str] = []

    def measure(points: Sequence[Point], wanted: Sequence[int]) -> list[float]:
        assert all(point.is_given == (point.value == "picture") for point in points)
        asked.extend(points[index].value for index in wanted)
        return [snr_db(points[i].reference.numpy(), in_graph[points[i].value].numpy()) for i in wanted]

    points = (Point("cube", "first", cube), Point("picture", "second", picture))
    kept = in_known_layout(points, (0.0, 0.0), measure)
    assert kept == (points if layout == LAYOUTS[0] else points[1:])
    assert asked == ["cube"] * 3


def test_a_value_that_fits_in_no_layout_is_kept() -> None:
    points = (Point("cube", "first", torch.rand(1, 4, 4, 4)),)
    assert in_known_layout(points, (-200.0,), lambda _, wanted: [-200.0 for _ in wanted]) == points


def test_a_value_that_fits_is_not_compared_again() -> None:
    points = (Point("cube", "first", torch.rand(1, 4, 4, 4)),)

    def measure(points: Sequence[Point], wanted: Sequence[int]) -> list[float]:
        assert not wanted
        return []

    assert in_known_layout(points, (60.0,), measure) == points


def modules_of(*ops: GraphOp) -> list[str | None]:
    return [op.module for op in with_modules(ops)]


def test_an_operation_without_a_name_belongs_to_its_users() -> None:
    assert (
        modules_of(GraphOp(None, (), ("a",)), GraphOp(None, ("a",), ("b",)), GraphOp("x.y", ("b",), ())) == ["x.y"] * 3
    )
    assert modules_of(GraphOp(None, (), ("a",)), GraphOp("x.y", ("a",), ()), GraphOp("x.z", ("a",), ()))[0] == "x"


def test_one_without_users_belongs_to_what_it_uses() -> None:
    weight, named, last = GraphOp(None, (), ("w",)), GraphOp("x.y", (), ("a",)), GraphOp(None, ("w", "a"), ("out",))
    assert modules_of(weight, named, last) == ["x.y"] * 3
    assert modules_of(last) == [""]


def test_a_module_is_in_all_that_are_around_it() -> None:
    assert list(around("a.b.c")) == ["a.b.c", "a.b", "a", ""]
    assert list(around("")) == [""]
