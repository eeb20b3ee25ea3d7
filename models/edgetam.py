"""EdgeTAM for pictures: SAM 2's neck and decoder behind a RepViT.

Its memory, which is what it is made for, is no part of it. Source: facebookresearch/EdgeTAM
`sam2/modeling/backbones/timm.py`, `sam2/configs/edgetam.yaml`.
"""

from __future__ import annotations

from torch import Tensor, nn

from .components import Component
from .repvit import RepVit, RepVitConfig
from .repvit_engine import engine_form
from .sam2 import Sam2, both_components
from .variants import Variant


class TimmBackbone(nn.Module):
    """The trunk under upstream's name for it."""

    def __init__(self, config: RepVitConfig) -> None:
        super().__init__()
        self.body = RepVit(config)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        stages: tuple[Tensor, ...] = self.body(image)
        return stages


def build(variant: Variant) -> Sam2:
    assert isinstance(variant.encoder, RepVitConfig)
    return Sam2(TimmBackbone(variant.encoder), variant.encoder.channels, variant.decoder)


def components(module: nn.Module, variant: Variant) -> tuple[Component, Component]:
    """Return image encoder and mask decoder, ready to be traced."""
    assert isinstance(module, Sam2)
    assert isinstance(module.image_encoder.trunk, TimmBackbone)
    return both_components(module, variant, engine_form(module.image_encoder.trunk))
