"""Whether an fp16 graph fits into fp16, on devices that this machine is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from sam_export.errors import AccuracyError
from sam_export.models import Component, SamModel, components
from sam_export.verify.pictures import picture_set
from sam_export.verify.ranges import peaks, require_float16_range
from sam_export.verify.suite import Suite, build_suite


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


def test_peaks_are_of_every_operation(encoder: Component) -> None:
    scaled = replace(encoder, module=Scaled(encoder.module, 1e6))
    image = torch.full((1, 3, 64, 64), 255.0)
    image[..., :32] = 0
    plain, detour = peaks(encoder, [(image,)]), peaks(scaled, [(image,)])
    assert plain[0].value == 255.0
    assert detour[0].operation == "aten.mul.Tensor"
    assert detour[0].value > 1e5


def test_a_component_in_range_says_how_far_it_goes(tiny_sam: SamModel, tiny_suite: Suite) -> None:
    for component in components(tiny_sam):
        assert "fp16 ends at 65504" in require_float16_range(component, tiny_suite)


def test_a_component_out_of_range_is_refused(encoder: Component, tiny_suite: Suite) -> None:
    scaled = replace(encoder, module=Scaled(encoder.module, 1e7))
    with pytest.raises(AccuracyError, match=r"image_encoder: aten\.mul\.Tensor reaches .* with --precision fp32"):
        require_float16_range(scaled, tiny_suite)


def test_a_component_that_gives_no_numbers_is_refused(encoder: Component, tiny_suite: Suite) -> None:
    broken = replace(encoder, module=Scaled(encoder.module, float("nan")))
    with pytest.raises(AccuracyError, match="reaches inf, fp16 ends at 65504"):
        require_float16_range(broken, tiny_suite)
