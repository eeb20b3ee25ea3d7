"""The family of SAM and SlimSAM: a ViT encoder with SAM's prompt encoder and mask decoder."""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from . import hf_layout
from .components import Component
from .sam_family import SamModule, sam_components
from .variants import Variant
from .vit import Vit, VitConfig
from .vit_engine import EngineVit, migrations


class VitSam(SamModule):
    image_encoder: Vit

    def __init__(self, variant: Variant) -> None:
        assert isinstance(variant.encoder, VitConfig)
        super().__init__(Vit(variant.encoder), variant)


def components(module: nn.Module, variant: Variant) -> tuple[Component, Component]:
    """Return image encoder and mask decoder, ready to be traced."""
    assert isinstance(module, VitSam)
    return sam_components(module, EngineVit(module.image_encoder), variant, migrations=migrations)


def to_upstream(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under Meta's names: from Hugging Face's layout, or SlimSAM's with q, k and v apart."""
    return _joined(hf_layout.to_upstream(tensors))


def _joined(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Source: `changepth.py` (czg1225/SlimSAM), which takes them apart for pruning."""
    joined: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        apart = re.fullmatch(r"(image_encoder\.blocks\.\d+\.attn\.)([qkv])(\.(?:weight|bias))", name)
        if not apart:
            joined[name] = tensor
        elif apart[2] == "q":
            rest = (tensors.get(f"{apart[1]}{part}{apart[3]}") for part in "kv")
            joined[f"{apart[1]}qkv{apart[3]}"] = torch.cat([tensor, *(part for part in rest if part is not None)])
    return joined
