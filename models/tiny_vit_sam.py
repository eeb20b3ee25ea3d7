"""The family of LiteMedSAM and MobileSAM: a TinyViT encoder with SAM's prompt encoder and mask decoder."""

from __future__ import annotations

from torch import nn

from .components import Component
from .sam_family import SamModule, sam_components
from .tiny_vit import TinyVit, TinyVitConfig
from .tiny_vit_engine import EngineTinyVit, migrations
from .variants import Variant


class TinyVitSam(SamModule):
    image_encoder: TinyVit

    def __init__(self, variant: Variant) -> None:
        assert isinstance(variant.encoder, TinyVitConfig)
        super().__init__(TinyVit(variant.encoder), variant)


def components(module: nn.Module, variant: Variant) -> tuple[Component, Component]:
    """Return image encoder and mask decoder, ready to be traced."""
    assert isinstance(module, TinyVitSam)
    return sam_components(module, EngineTinyVit(module.image_encoder), variant, migrations=migrations)
