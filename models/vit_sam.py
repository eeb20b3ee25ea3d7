"""The family of SAM and SlimSAM: a ViT encoder with SAM's prompt encoder and mask decoder."""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from . import hf_layout
from .components import (
    Component,
    ImageEncoderComponent,
    MaskDecoderComponent,
    decoder_contract,
    encoder_contract,
    example_inputs,
)
from .sam import DecoderConfig, MaskDecoder, PromptEncoder
from .sam import migrations as decoder_migrations
from .variants import Variant
from .vit import Vit, VitConfig
from .vit_engine import EngineVit
from .vit_engine import migrations as encoder_migrations


class VitSam(nn.Module):
    """The three parts under upstream's names; holds weights, computes nothing itself."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        assert isinstance(variant.encoder, VitConfig)
        assert isinstance(variant.decoder, DecoderConfig)
        self.image_encoder = Vit(variant.encoder)
        self.prompt_encoder = PromptEncoder(variant.decoder)
        self.mask_decoder = MaskDecoder(variant.decoder)


def components(module: nn.Module, variant: Variant) -> tuple[Component, Component]:
    """Return image encoder and mask decoder, ready to be traced."""
    assert isinstance(module, VitSam)
    assert isinstance(variant.decoder, DecoderConfig)
    channels, cells = variant.decoder.dim, variant.decoder.embedding_size
    encoder = encoder_contract(variant.preprocessing, channels, cells)
    decoder = decoder_contract(channels, cells, variant.mask_rule)
    image_encoder = ImageEncoderComponent(EngineVit(module.image_encoder), variant.preprocessing.normalisation).eval()
    mask_decoder = MaskDecoderComponent(module.prompt_encoder, module.mask_decoder).eval()
    return (
        Component(
            module=image_encoder,
            contract=encoder,
            example_inputs=example_inputs(encoder),
            float32_modules=("normalise",),
            migrations=tuple(encoder_migrations(image_encoder)),
        ),
        Component(
            module=mask_decoder,
            contract=decoder,
            example_inputs=example_inputs(decoder),
            float32_modules=("prompt_encoder.pe_layer", "cell_positions"),
            migrations=tuple(decoder_migrations(mask_decoder)),
        ),
    )


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
