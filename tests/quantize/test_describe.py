"""What bundles say of a plan: numbers computed by hand, and every layer that is not like the rest."""

from __future__ import annotations

from dataclasses import replace

import pytest
from torch import nn

from sam_export.contract import LayerChoice
from sam_export.models import Component, SamModel, components
from sam_export.quantize.describe import (
    NEVER_ROUNDED,
    ONE_OF_FEW,
    SATURATION,
    WEIGHTS_ONLY,
    average_bits,
    resolved_recipe,
    share_in_bits,
)
from sam_export.quantize.layers import quantizable_layers
from sam_export.quantize.plan import ComponentPlan, LayerPlan, Weights
from sam_export.quantize.recipes import OF_TARGET, start_plan

# Weights 40 + 18 + 24 = 82, all parameters with biases and the norm's: 40 + 8, 18 + 2, 24, 16.
MODULE = nn.ModuleDict(
    {
        "linear": nn.Linear(5, 8),
        "conv": nn.Conv2d(1, 2, 3),
        "last": nn.Linear(4, 6, bias=False),
        "norm": nn.LayerNorm(8),
    }
)
ALL = 48 + 20 + 24 + 16


@pytest.fixture(scope="module")
def component(tiny_sam: SamModel) -> Component:
    return replace(components(tiny_sam)[0], module=MODULE)


@pytest.mark.parametrize(
    ("layers", "bits", "expected"),
    [
        ((), 8, 0),
        ((LayerPlan("linear", "int8"),), 8, 40 / ALL),
        ((LayerPlan("linear", "int8"), LayerPlan("conv", "lut4"), LayerPlan("last", "lut6")), 8, 82 / ALL),
        ((LayerPlan("linear", "int8"), LayerPlan("conv", "lut4"), LayerPlan("last", "lut6")), 6, 42 / ALL),
        ((LayerPlan("linear", "int8"), LayerPlan("conv", "lut4"), LayerPlan("last", "lut6")), 4, 18 / ALL),
        ((LayerPlan("linear", "int8", "uint8"), LayerPlan("last", reason="because")), 8, 40 / ALL),
    ],
    ids=["none", "one", "all in 8", "two in 6", "one in 4", "float with a reason"],
)
def test_share_of_small_weights(
    component: Component, layers: tuple[LayerPlan, ...], bits: int, expected: float
) -> None:
    assert share_in_bits(component, ComponentPlan(layers=layers), bits) == pytest.approx(expected)


def test_bits_are_counted_by_weights(component: Component) -> None:
    layers = (LayerPlan("linear", "int4"), LayerPlan("conv", "int8"))
    expected = (40 * 4 + 18 * 8 + 24 * 32) / 82
    assert average_bits(component, ComponentPlan(layers=layers)) == pytest.approx(expected)


def test_recipe_lists_the_layers_with_a_reason(component: Component) -> None:
    layers = (
        LayerPlan("linear", "int8", "uint8"),
        LayerPlan("conv", "int8", "uint8", "uint8", reason="a large kernel"),
        LayerPlan("last", "int8", reason="few weights"),
    )
    recipe = resolved_recipe(component, ComponentPlan(compute="bf16", layers=layers), "int8")
    assert recipe.layers == (
        LayerChoice("conv", "int8 weights, 8-bit inputs", "a large kernel"),
        LayerChoice("last", "int8 weights, float inputs", "few weights"),
    )
    assert (recipe.precision, recipe.storage, recipe.compute) == ("int8", "int8", "bf16")
    assert recipe.notes == (
        "76% of all parameters in at most 8 bits",  # 82 / 108
        "2 of 3 layers computed in integers",
        NEVER_ROUNDED,
        SATURATION,
    )


def test_recipe_names_a_float_layer_as_such(component: Component) -> None:
    plan = ComponentPlan(layers=(LayerPlan("linear", "int8"), LayerPlan("last", reason="because")))
    recipe = resolved_recipe(component, plan, "w8")
    assert recipe.layers == (LayerChoice("last", "float", "because"),)
    assert recipe.notes[1] == "0 of 3 layers computed in integers"


@pytest.mark.parametrize(
    ("weights", "storage"),
    [
        (("int8", "int8"), "int8"),
        (("int8", "lut4"), "lut4, int8"),
        (("int8", "lut6"), "lut6, int8"),
        (("float", "lut6"), "lut6"),
        (("float", "float"), "fp16"),
    ],
)
def test_storage_is_named_the_smallest_first(
    component: Component, weights: tuple[Weights, Weights], storage: str
) -> None:
    layers = tuple(LayerPlan(name, kind) for name, kind in zip(("linear", "last"), weights, strict=True))
    assert resolved_recipe(component, ComponentPlan("fp16", layers=layers), "w4").storage == storage


def test_where_integer_products_hold_is_said_where_there_are_any(component: Component) -> None:
    rounded = (LayerPlan("linear", "int8", "uint8"),)
    stored = (LayerPlan("linear", "int8"),)
    assert SATURATION in resolved_recipe(component, ComponentPlan(layers=rounded), "w8a8").notes
    assert SATURATION not in resolved_recipe(component, ComponentPlan(layers=stored), "w8").notes
    assert SATURATION not in resolved_recipe(component, ComponentPlan("fp16", layers=rounded), "w8a8").notes


def test_where_inputs_are_rounded_a_layer_whose_are_not_has_a_reason(component: Component) -> None:
    """Also one that its plan gives none for, or does not name."""
    layers = (LayerPlan("linear", "int8", "uint8"), LayerPlan("conv", "int8"))
    found = {one.pattern: one.reason for one in resolved_recipe(component, ComponentPlan(layers=layers), "int8").layers}
    assert found == {"conv": ONE_OF_FEW, "last": ONE_OF_FEW}
    assert resolved_recipe(component, ComponentPlan(layers=layers), "w8").layers == ()


def test_layers_that_are_all_alike_are_one_line(component: Component) -> None:
    plan = ComponentPlan(layers=tuple(LayerPlan(name, "int8") for name in ("linear", "conv", "last")))
    (choice,) = resolved_recipe(component, plan, "auto").layers
    assert choice == LayerChoice("*", "int8 weights, float inputs", WEIGHTS_ONLY)


@pytest.mark.parametrize("precision", ["int8", "auto", "w8a8", "w8a8-dynamic"])
@pytest.mark.parametrize("target", OF_TARGET)
def test_every_layer_that_is_not_rounded_has_a_reason_of_its_own(
    tiny_sam: SamModel, target: str, precision: str
) -> None:
    if precision not in OF_TARGET[target]:
        pytest.skip(f"{target} has no {precision}")
    for part in components(tiny_sam):
        plan = start_plan(part, target, precision)
        assert {one.layer for one in plan.layers} == set(quantizable_layers(part.module))
        assert [one.layer for one in plan.layers if one.inputs == "float" and not one.reason] == []
        listed = {one.pattern for one in resolved_recipe(part, plan, precision).layers}
        assert listed >= {"*"} or listed >= {one.layer for one in plan.layers if one.inputs == "float"}
