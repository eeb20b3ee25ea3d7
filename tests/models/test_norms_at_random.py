"""Random weights whose batch norms know what they normalise."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sam_export.models import FAMILIES, Variant, untrained
from sam_export.models.loader import random_model

from .family_cases import FAMILY_CASES

WITH_NORMS = ("tiny_vit_sam", "repvit_sam", "edge_sam", "edgetam", "efficientvit_sam")


def sizes_after_norms(module: nn.Module, image: Tensor) -> list[float]:
    found: list[float] = []
    for norm in (part for part in module.modules() if isinstance(part, nn.BatchNorm2d)):
        norm.register_forward_hook(lambda _, __, out: found.append(float(out.square().mean().sqrt())))
    with torch.no_grad():
        module.get_submodule("image_encoder")(image)
    return found


def picture(row: Variant) -> Tensor:
    """Return one that the norms were not made for: brighter, with less contrast."""
    return 0.5 + 0.7 * torch.randn(1, 3, *row.preprocessing.image_hw, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("family", WITH_NORMS)
def test_activations_stay_near_one(family: str) -> None:
    row = FAMILY_CASES[family]()
    sizes = sizes_after_norms(untrained(row, seed=3).module, picture(row))
    assert sizes
    assert 0.2 < min(sizes) <= max(sizes) < 5


def test_as_random_as_the_weights_they_do_not() -> None:
    row = FAMILY_CASES["repvit_sam"]()
    drawn = random_model(FAMILIES[row.family].build(row), row, seed=3).module
    assert max(sizes_after_norms(drawn, picture(row))) > 5


def test_the_same_seed_gives_the_same_norms() -> None:
    row = FAMILY_CASES["edgetam"]()
    one, other = (untrained(row, seed=3).module.state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
