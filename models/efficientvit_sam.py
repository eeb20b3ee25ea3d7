"""EfficientViT-SAM: EfficientViT with SAM's prompt encoder and mask decoder; pictures of 512 or 1024 px.

Source: mit-han-lab/efficientvit, `efficientvit/models/efficientvit/sam.py`.
"""

from __future__ import annotations

from torch import nn

from .components import Component
from .efficientvit import NORM_EPS, EfficientVitConfig, EfficientVitEncoder, LinearAttention
from .sam_family import SamModule, sam_components
from .variants import Variant


class EfficientVitSam(SamModule):
    def __init__(self, variant: Variant) -> None:
        assert isinstance(variant.encoder, EfficientVitConfig)
        super().__init__(EfficientVitEncoder(variant.encoder), variant)
        for part in self.mask_decoder.modules():
            if isinstance(part, nn.LayerNorm):
                part.eps = NORM_EPS


def components(module: nn.Module, variant: Variant) -> tuple[Component, Component]:
    """Return image encoder and mask decoder, ready to be traced."""
    assert isinstance(module, EfficientVitSam)
    return sam_components(module, module.image_encoder, variant, float32_modules=_linear_attentions)


def _linear_attentions(module: nn.Module) -> tuple[str, ...]:
    return tuple(name for name, part in module.named_modules() if isinstance(part, LinearAttention))
