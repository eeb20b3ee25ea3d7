"""From a request to quantized components: by a precision, a recipe, a plan found beforehand, or a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sam_export.contract import COMPONENT_NAMES
from sam_export.errors import NotVerifiableError, RequestError, UnsupportedError
from sam_export.exporters import export
from sam_export.models import Component, SamModel, components
from sam_export.quantize import found, search_plans
from sam_export.quantize import request as request_module
from sam_export.quantize.calibration import Calibration
from sam_export.quantize.layers import QuantizedLayer, quantizable_layers
from sam_export.quantize.plan import ComponentPlan, LayerPlan, QuantizationPlan, decode_plan, encode_plan
from sam_export.quantize.quantizer import Quantizer
from sam_export.quantize.recipes import FLOAT_OF_TARGET
from sam_export.quantize.request import Quantized, QuantizeRequest, quantized
from sam_export.search_record import encode_records
from sam_export.verification import Limits
from sam_export.verify.pictures import picture_set
from sam_export.verify.suite import Suite, build_suite

from ..verify.search_samples import record

PICTURES = picture_set("calibration")[:2]
REQUEST = QuantizeRequest(calibration=PICTURES)


@pytest.fixture(scope="module")
def parts(tiny_sam: SamModel) -> tuple[Component, ...]:
    return components(tiny_sam)


@pytest.fixture(scope="module")
def eight_bits(tiny_sam: SamModel, parts: tuple[Component, ...]) -> Quantized:
    return quantized(tiny_sam, parts, "onnx", "w8", REQUEST)


def numbers(part: Component) -> Mapping[str, Tensor]:
    return part.module.state_dict()


def equal(one: Component, other: Component) -> bool:
    first, second = numbers(one), numbers(other)
    return set(first) == set(second) and all(torch.equal(first[name], second[name]) for name in first)


def test_every_layer_is_stored_in_8_bits(eight_bits: Quantized, parts: tuple[Component, ...]) -> None:
    assert tuple(part.contract.component for part in eight_bits.components) == COMPONENT_NAMES
    for part, source in zip(eight_bits.components, parts, strict=True):
        made = {name for name, module in part.module.named_modules() if isinstance(module, QuantizedLayer)}
        assert made == set(quantizable_layers(source.module))
        assert all(part.module.get_submodule(name).round_input is None for name in made)
        assert part.recipe is not None
        assert (part.recipe.precision, part.recipe.storage, part.recipe.compute) == ("w8", "int8", "fp32")
        assert source.recipe is None
        assert not any(isinstance(module, QuantizedLayer) for module in source.module.modules())


def test_the_plan_names_what_it_was_made_for(eight_bits: Quantized, tiny_sam: SamModel) -> None:
    plan = eight_bits.plan
    assert (plan.model, plan.target, plan.precision) == ("tiny_sam", "onnx", "w8")
    assert plan.checkpoint_sha256 == tiny_sam.checkpoint_sha256
    assert eight_bits.records == ()


def test_following_a_recipe_gives_the_same_weights(eight_bits: Quantized, tiny_sam: SamModel) -> None:
    """By way of the file, with components that nobody has observed yet."""
    recipe = decode_plan(encode_plan(eight_bits.plan), "recipe.json")
    again = quantized(tiny_sam, components(tiny_sam), "onnx", "w8", replace(REQUEST, recipe=recipe))
    assert again.plan == eight_bits.plan
    assert all(equal(one, two) for one, two in zip(again.components, eight_bits.components, strict=True))
    assert [part.recipe for part in again.components] == [part.recipe for part in eight_bits.components]


def test_a_recipe_is_followed_and_not_only_its_precision(eight_bits: Quantized, tiny_sam: SamModel) -> None:
    fc1 = "encoder.layers.1.blocks.0.mlp.fc1"
    own = ComponentPlan(layers=(LayerPlan(fc1, "int8", "uint8", reason="because"),))
    recipe = replace(eight_bits.plan, components={"image_encoder": own, "mask_decoder": ComponentPlan()})
    parts = components(tiny_sam)
    encoder, decoder = quantized(tiny_sam, parts, "onnx", "w8", replace(REQUEST, recipe=recipe)).components
    assert [name for name, one in encoder.module.named_modules() if isinstance(one, QuantizedLayer)] == [fc1]
    assert equal(encoder, Quantizer(parts[0], Calibration(tiny_sam, PICTURES)).quantized(own))
    assert equal(decoder, parts[1])
    assert not equal(encoder, eight_bits.components[0])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"model": "other_sam"}, "the recipe is for other_sam on onnx, asked for is tiny_sam on onnx"),
        ({"target": "openvino"}, "the recipe is for tiny_sam on openvino, asked for is tiny_sam on onnx"),
        ({"components": {"image_encoder": ComponentPlan()}}, "the recipe has no mask_decoder, asked for is w8"),
    ],
    ids=["model", "target", "component"],
)
def test_a_recipe_of_something_else_is_refused(
    eight_bits: Quantized, tiny_sam: SamModel, parts: tuple[Component, ...], changes: dict[str, Any], text: str
) -> None:
    recipe = replace(eight_bits.plan, **changes)
    with pytest.raises(RequestError) as refused:
        quantized(tiny_sam, parts, "onnx", "w8", replace(REQUEST, recipe=recipe))
    assert str(refused.value).startswith(text)
    assert "; give the recipe.json of a bundle of this" in str(refused.value)


def test_a_recipe_with_other_layers_is_refused(
    eight_bits: Quantized, tiny_sam: SamModel, parts: tuple[Component, ...]
) -> None:
    own = ComponentPlan(layers=(LayerPlan("encoder.nowhere", "int8"),))
    recipe = replace(eight_bits.plan, components={"image_encoder": own, "mask_decoder": own})
    with pytest.raises(RequestError, match=r"encoder\.nowhere"):
        quantized(tiny_sam, parts, "onnx", "w8", replace(REQUEST, recipe=recipe))


@pytest.mark.parametrize(
    ("target", "precision"),
    [
        ("tflite", "w8"),
        ("onnx", "w6"),
        ("openvino", "w6"),
    ],
)
def test_what_a_target_cannot_do_is_refused(
    tiny_sam: SamModel, parts: tuple[Component, ...], target: str, precision: str
) -> None:
    with pytest.raises(UnsupportedError, match=f"{target} cannot do '{precision}'"):
        quantized(tiny_sam, parts, target, precision, REQUEST)


def test_a_component_may_stay_in_float(eight_bits: Quantized, tiny_sam: SamModel, parts: tuple[Component, ...]) -> None:
    made = quantized(tiny_sam, parts, "onnx", "w8+fp32", REQUEST)
    assert equal(made.components[0], eight_bits.components[0])
    assert made.components[1] is parts[1]
    assert set(made.plan.components) == {"image_encoder"}
    assert made.plan.precision == "w8+fp32"


def test_components_are_observed_once(tiny_sam: SamModel) -> None:
    stages: list[str] = []

    def progress(stage: str, done: int, total: int) -> None:
        stages.append(stage)

    fresh = components(tiny_sam)
    for precision in ("w8", "w8a8"):
        quantized(tiny_sam, fresh, "onnx", precision, REQUEST, progress=progress)
    assert [stage for stage in stages if "calibrate" in stage] == [
        f"{name}: calibrate" for name in COMPONENT_NAMES for _ in range(2)
    ]
    quantized(tiny_sam, fresh, "onnx", "w8", QuantizeRequest(calibration=PICTURES[:1]), progress=progress)
    assert len([stage for stage in stages if "calibrate" in stage]) == 8


@pytest.fixture
def place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eight_bits: Quantized, tiny_sam: SamModel
) -> QuantizationPlan:
    """A package that has one plan for the tiny model, with the record of its search."""
    plan = replace(eight_bits.plan, precision="int8")
    folder = tmp_path / found.FOLDER
    folder.mkdir()
    (folder / "tiny_sam-onnx-int8.json").write_bytes(encode_plan(plan))
    (folder / "tiny_sam-onnx-int8-search.json").write_bytes(encode_records((record(),)))
    monkeypatch.setattr(found, "files", lambda _: tmp_path)
    return plan


class Searched(Exception):
    """What stands for a search that would begin."""


@pytest.fixture
def no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Suite:
        raise Searched

    monkeypatch.setattr(search_plans, "build_suite", refuse)


@pytest.mark.usefixtures("no_search")
def test_a_plan_found_beforehand_saves_the_search(
    place: QuantizationPlan, eight_bits: Quantized, tiny_sam: SamModel, parts: tuple[Component, ...]
) -> None:
    made = quantized(tiny_sam, parts, "onnx", "int8", REQUEST)
    assert made.plan == place
    assert made.records == (record(),)
    assert all(equal(one, two) for one, two in zip(made.components, eight_bits.components, strict=True))


@pytest.mark.usefixtures("no_search", "place")
@pytest.mark.parametrize("changes", [{"search": True}, {"prefer": "size"}, {"prefer": "accuracy"}], ids=str)
def test_it_is_not_used_by_who_asks_for_another(
    tiny_sam: SamModel, parts: tuple[Component, ...], changes: dict[str, Any]
) -> None:
    with pytest.raises(Searched):
        quantized(tiny_sam, parts, "onnx", "int8", replace(REQUEST, **changes))


@pytest.mark.usefixtures("no_search", "place")
def test_it_is_not_used_where_its_masks_did_not_reach_what_is_asked(
    tiny_sam: SamModel, parts: tuple[Component, ...]
) -> None:
    """Mean and worst, found: 0.9946, 0.957. Asked for with the margin: 0.98875, 0.94375; then 0.9925, 0.9625."""
    near, far = replace(REQUEST, min_iou=0.985), replace(REQUEST, min_iou=0.99)
    assert quantized(tiny_sam, parts, "onnx", "int8+fp32", near).records == (record(),)
    with pytest.raises(Searched):
        quantized(tiny_sam, parts, "onnx", "int8+fp32", far)


@pytest.mark.usefixtures("no_search", "place")
def test_what_nobody_measured_is_not_taken_for_more_than_its_precision_asks(
    tiny_sam: SamModel, parts: tuple[Component, ...]
) -> None:
    """The record is of the encoder alone."""
    for lowered in (0.5, 0.98):
        assert quantized(tiny_sam, parts, "onnx", "int8", replace(REQUEST, min_iou=lowered)).records == (record(),)
    with pytest.raises(Searched):
        quantized(tiny_sam, parts, "onnx", "int8", replace(REQUEST, min_iou=0.981))


@pytest.mark.usefixtures("no_search", "place")
def test_auto_takes_what_int8_found(place: QuantizationPlan, tiny_sam: SamModel, parts: tuple[Component, ...]) -> None:
    assert quantized(tiny_sam, parts, "onnx", "auto", REQUEST).plan.components == place.components


@pytest.mark.usefixtures("no_search", "place")
def test_it_is_not_used_for_other_weights(tiny_sam: SamModel, parts: tuple[Component, ...]) -> None:
    with pytest.raises(Searched):
        quantized(replace(tiny_sam, checkpoint_sha256="0" * 64), parts, "onnx", "int8", REQUEST)


def stable(suite: Suite) -> Suite:
    """Weights that nobody trained have no stable masks; half of their prompts stand in for such."""
    pictures = tuple(
        replace(
            entry,
            cases=tuple(
                replace(case, prompt=replace(case.prompt, role="harsh" if place % 2 else "stable"))
                for place, case in enumerate(entry.cases)
            ),
        )
        for entry in suite.pictures
    )
    return replace(suite, pictures=pictures)


@pytest.fixture
def searching(monkeypatch: pytest.MonkeyPatch, tiny_sam: SamModel) -> None:
    suite = stable(build_suite(tiny_sam, picture_set("search")[:1]))
    monkeypatch.setattr(search_plans, "build_suite", lambda *_, **__: suite)
    # Norms and biases are a quarter of the tiny model.
    monkeypatch.setattr(search_plans, "LEAST_SHARE", {})


@pytest.mark.slow
@pytest.mark.usefixtures("searching")
def test_a_search_ends_in_a_plan_and_its_record(
    monkeypatch: pytest.MonkeyPatch, tiny_sam: SamModel, parts: tuple[Component, ...], tmp_path: Path
) -> None:
    monkeypatch.setattr(search_plans, "limits_for", lambda *_: Limits(mean_iou=0.2, worst_iou=0.1, logit_snr_db=0.0))
    made = quantized(tiny_sam, parts, "onnx", "int8", replace(REQUEST, search=True, state_folder=tmp_path / "states"))
    assert [one.component for one in made.records] == list(COMPONENT_NAMES)
    assert [len(one.points) for one in made.records] == [
        4,
        1,
    ]  # the start with each of four ranges; no input is rounded
    assert all(one.chosen is not None for one in made.records)
    rounded = [sum(one.inputs != "float" for one in made.plan.components[name].layers) for name in COMPONENT_NAMES]
    assert rounded[0] > 0 == rounded[1]
    followed = quantized(tiny_sam, parts, "onnx", "int8", replace(REQUEST, recipe=made.plan))
    assert all(equal(one, two) for one, two in zip(made.components, followed.components, strict=True))
    assert list((tmp_path / "states").iterdir()) == []


@pytest.mark.slow
@pytest.mark.usefixtures("searching")
def test_the_smallest_is_no_larger_than_w4_where_that_passes(
    monkeypatch: pytest.MonkeyPatch, tiny_sam: SamModel, parts: tuple[Component, ...], tmp_path: Path
) -> None:
    monkeypatch.setattr(search_plans, "limits_for", lambda *_: Limits(mean_iou=0.2, worst_iou=0.1, logit_snr_db=0.0))
    smallest = quantized(tiny_sam, parts, "onnx", "auto", replace(REQUEST, prefer="size"))
    fewer = quantized(tiny_sam, parts, "onnx", "w4", REQUEST)
    for own, other, searched in zip(smallest.components, fewer.components, smallest.records, strict=True):
        assert searched.chosen is not None
        # A file names its precision.
        graph = export(replace(other, recipe=own.recipe), "onnx", FLOAT_OF_TARGET["onnx"], tmp_path)
        assert searched.chosen.bytes <= sum((tmp_path / file).stat().st_size for file in graph.files)
    # The tiny decoder has no layer that is large enough for fewer than 8 bits.
    encoder = smallest.components[0].recipe
    assert encoder is not None
    assert encoder.storage.startswith("int4")
    assert "bits a weight" in [point.label[-13:] for point in smallest.records[0].points if point.chosen]


@pytest.mark.slow
@pytest.mark.usefixtures("searching")
def test_int8_keeps_its_promise_or_is_refused(
    monkeypatch: pytest.MonkeyPatch, tiny_sam: SamModel, parts: tuple[Component, ...]
) -> None:
    monkeypatch.setattr(search_plans, "limits_for", lambda *_: Limits(mean_iou=0.2, worst_iou=0.1, logit_snr_db=0.0))
    monkeypatch.setattr(search_plans, "LEAST_SHARE", {"int8": 0.9})
    with pytest.raises(NotVerifiableError, match=r"in at most 8 bits, int8 promises 90%; take --precision auto"):
        quantized(tiny_sam, parts, "onnx", "int8", replace(REQUEST, search=True))
    assert quantized(tiny_sam, parts, "onnx", "auto", replace(REQUEST, search=True)).records


@pytest.mark.slow
@pytest.mark.usefixtures("searching")
def test_a_search_that_finds_nothing_says_so_and_keeps_what_it_measured(
    monkeypatch: pytest.MonkeyPatch, tiny_sam: SamModel, parts: tuple[Component, ...], tmp_path: Path
) -> None:
    monkeypatch.setattr(search_plans, "limits_for", lambda *_: Limits(mean_iou=1.0, worst_iou=1.0, logit_snr_db=0.0))
    asked = replace(REQUEST, search=True, minutes=0.0, state_folder=tmp_path / "states")
    with pytest.raises(NotVerifiableError, match=r"^tiny_sam onnx int8 image_encoder: none of 1 tries passes"):
        quantized(tiny_sam, parts, "onnx", "int8", asked)
    assert [path.name for path in (tmp_path / "states").iterdir()] == ["tiny_sam-onnx-int8-image_encoder.json"]


def test_a_plan_found_in_bf16_is_followed_in_fp32_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = ComponentPlan("bf16")
    monkeypatch.setattr(request_module, "fast_float", lambda: "fp32")
    assert request_module._for_this_processor(plan).compute == "fp32"
    monkeypatch.setattr(request_module, "fast_float", lambda: "bf16")
    assert request_module._for_this_processor(plan) == plan
