"""What a search lifts, by name, and the plans that come of it."""

from __future__ import annotations

import pytest

from sam_export.models import Component, SamModel, components
from sam_export.quantize.kernels import everything, layer_plans
from sam_export.quantize.levels import LEFT_OUT, SPLIT_UP, Levels, distinct
from sam_export.quantize.plan import ComponentPlan, LayerPlan

DEPTHWISE = "encoder.layers.0.blocks.*.conv2"
FC1 = "encoder.layers.1.blocks.*.mlp.fc1"
LAYER = "encoder.layers.1.blocks.0.mlp.fc1"


@pytest.fixture(scope="module")
def encoder(tiny_sam: SamModel) -> Component:
    return components(tiny_sam)[0]


@pytest.fixture(scope="module")
def levels(encoder: Component) -> Levels:
    return Levels(encoder, ComponentPlan("bf16", layers=layer_plans(encoder, everything)), splits=True)


def test_a_group_is_split_before_it_is_left_in_float(levels: Levels) -> None:
    assert levels.of_group(FC1) == (f"split {FC1}", FC1)
    assert levels.of_group(DEPTHWISE) == (DEPTHWISE,)
    assert Levels(levels.component, levels.start).of_group(FC1) == (FC1,)


def test_each_level_is_a_plan(levels: Levels) -> None:
    assert levels.plan(()) == levels.start
    split, left = levels.plan((f"split {FC1}",)).of(LAYER), levels.plan((FC1,)).of(LAYER)
    assert split == LayerPlan(LAYER, "int8", "split", reason=SPLIT_UP)
    assert (left.inputs, left.reason) == ("float", LEFT_OUT)
    assert levels.plan((f"split {FC1}", FC1)) == levels.plan((FC1,))
    others = {one for one in levels.plan((FC1,)).layers if ".mlp.fc1" not in one.layer}
    assert others < set(levels.start.layers)


def test_modules_and_the_whole_may_compute_in_fp32(levels: Levels) -> None:
    module = levels.plan(("fp32 encoder.layers.1",))
    assert (module.compute, module.float32) == ("bf16", ("encoder.layers.1",))
    whole = levels.plan(("fp32 encoder.layers.1", "fp32"))
    assert (whole.compute, whole.float32, whole.layers) == ("fp32", (), levels.start.layers)
    assert Levels(levels.component, whole).float32 == {}


def test_what_another_level_makes_idle_goes() -> None:
    assert distinct(("split a", "b", "a", "split c")) == ("b", "a", "split c")
    assert distinct(("fp32 encoder", "a", "fp32")) == ("a", "fp32")


def test_a_group_in_float_goes_back_to_8_bits_or_is_split(levels: Levels) -> None:
    chosen = ("fp32", FC1, DEPTHWISE)
    assert levels.lower(chosen, FC1) == (("fp32", DEPTHWISE), ("fp32", DEPTHWISE, f"split {FC1}"))
    assert levels.lower(chosen, DEPTHWISE) == (("fp32", FC1),)
    assert levels.lower(chosen, "fp32") == ((FC1, DEPTHWISE),)
    assert levels.lower((f"split {FC1}",), f"split {FC1}") == ((),)
