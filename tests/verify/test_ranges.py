"""Whether an fp16 graph fits into fp16, on devices that this machine is not."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from sam_export.errors import AccuracyError
from sam_export.exporters import export
from sam_export.models import Component, SamModel, components
from sam_export.verify.pictures import picture_set
from sam_export.verify.ranges import Peak, peaks, program_notes, require_float16_range, too_large
from sam_export.verify.suite import Suite, build_suite

FC1 = "encoder.layers.1.blocks.0.mlp.fc1"


class Scaled(nn.Module):
    """What a module gives, after a detour by numbers that are too large."""

    def __init__(self, source: nn.Module, factor: float) -> None:
        super().__init__()
        self.source, self.factor = source, factor

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.source(image) * self.factor / self.factor


@pytest.fixture(scope="module")
def tiny_suite(tiny_sam: SamModel) -> Suite:
    return build_suite(tiny_sam, picture_set("gate")[:1])


@pytest.fixture
def encoder(tiny_sam: SamModel) -> Component:
    return components(tiny_sam)[0]


def wide(encoder: Component, layer: str = FC1, factor: float = 1e6) -> Component:
    """Return the component with what one layer gives enlarged, and what the next one makes of it as it was."""
    module = copy.deepcopy(encoder.module)
    with torch.no_grad():
        for parameter in module.get_submodule(layer).parameters():
            parameter.mul_(factor)
        module.get_submodule(layer.replace("fc1", "fc2")).weight.div_(factor)
    return replace(encoder, module=module)


def test_who_is_too_large_is_named_by_its_layer(encoder: Component, tiny_suite: Suite) -> None:
    """Whoever gives what does not fit, and whoever takes it: the activation between the two is the block's own."""
    ((outer, peak),) = too_large(wide(encoder), peaks(wide(encoder), [(picture(),)])).items()
    assert (outer, peak.module) == (FC1.removesuffix(".fc1"), FC1)
    assert peak.value > 65504
    with pytest.raises(AccuracyError, match=rf"^image_encoder: {re.escape(FC1)} \(aten.*reaches"):
        require_float16_range(wide(encoder), tiny_suite)


def test_what_is_in_fp32_has_no_end(encoder: Component, tiny_suite: Suite) -> None:
    scaled = wide(encoder)
    kept = tuple(too_large(scaled, peaks(scaled, [(picture(),)])))
    allowed = replace(scaled, float32_modules=(*scaled.float32_modules, *kept))
    assert "fp16 ends at 65504" in require_float16_range(allowed, tiny_suite)
    partly = replace(scaled, float32_modules=(*scaled.float32_modules, FC1))
    assert too_large(partly, peaks(partly, [(picture(),)])).keys() == set(kept)  # what it gives is taken by others


def test_of_modules_inside_each_other_the_outer_one_is_named(encoder: Component) -> None:
    rows = [Peak(name, "mul", 1e6) for name in ("a.b.c", "a.b", "a.bc", "d")]
    assert too_large(encoder, rows).keys() == {"a.b", "a.bc", "d"}
    assert too_large(encoder, [*rows, Peak("", "mul", 1e6)]).keys() == {""}


def test_a_weight_that_does_not_fit_is_noticed(encoder: Component) -> None:
    module = copy.deepcopy(encoder.module)
    with torch.no_grad():
        module.get_submodule(FC1).weight[0, 0] = 1e6
    scaled = replace(encoder, module=module)
    assert FC1 in too_large(scaled, peaks(scaled, []))


def picture() -> torch.Tensor:
    image = torch.full((1, 3, 64, 64), 255.0)
    image[..., :32] = 0
    return image


def test_peaks_are_of_every_operation(encoder: Component) -> None:
    scaled = replace(encoder, module=Scaled(encoder.module, 1e6))
    plain, detour = peaks(encoder, [(picture(),)]), peaks(scaled, [(picture(),)])
    assert plain[0].value == 255.0
    assert (detour[0].module, detour[0].operation) == ("", "aten.mul.Tensor")
    assert detour[0].value > 1e5


def test_a_component_in_range_says_how_far_it_goes(tiny_sam: SamModel, tiny_suite: Suite) -> None:
    for component in components(tiny_sam):
        assert "fp16 ends at 65504" in require_float16_range(component, tiny_suite)


def test_a_component_out_of_range_is_refused(encoder: Component, tiny_suite: Suite) -> None:
    scaled = replace(encoder, module=Scaled(encoder.module, 1e7))
    with pytest.raises(AccuracyError, match=r"outside of any module \(aten\.mul\.Tensor\) reaches .* --precision fp32"):
        require_float16_range(scaled, tiny_suite)


def test_a_component_that_gives_no_numbers_is_refused(encoder: Component, tiny_suite: Suite) -> None:
    broken = replace(encoder, module=Scaled(encoder.module, float("nan")))
    with pytest.raises(AccuracyError, match=r"reaches inf, fp16 ends at 65504"):
        require_float16_range(broken, tiny_suite)


@pytest.mark.slow
def test_what_core_ml_rounds_is_told_by_its_program(encoder: Component, tiny_suite: Suite, tmp_path: Path) -> None:
    """One whose numbers do not fit is opened all the same: the gate sees what becomes of them."""
    notes = []
    for name, part in (("fits", encoder), ("wide", wide(encoder))):
        graph = export(part, "coreml", "fp16", tmp_path / name)
        notes += program_notes([graph], {"image_encoder": part}, tiny_suite)
    assert re.match(r"image_encoder: the largest value that its program rounds to fp16 is \d+ \(\w+\)$", notes[0])
    assert re.match(r"image_encoder: \d+ values of its program do not fit into fp16, first \S+ \(\w+\)$", notes[1])
    floats = export(encoder, "coreml", "fp32", tmp_path / "fp32")
    assert program_notes([floats], {"image_encoder": encoder}, tiny_suite) == []
