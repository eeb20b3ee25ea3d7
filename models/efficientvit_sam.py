"""EfficientViT-SAM: EfficientViT with SAM's prompt encoder and mask decoder; pictures of 512 or 1024 px.

Source: mit-han-lab/efficientvit, `efficientvit/models/efficientvit/sam.py`.
"""

from __future__ import annotations

from torch import nn

from .components import (
    Component,
    ImageEncoderComponent,
    MaskDecoderComponent,
    decoder_contract,
    encoder_contract,
    example_inputs,
)
from .efficientvit import NORM_EPS, EfficientVitConfig, EfficientVitEncoder, LinearAttention
from .sam import DecoderConfig, MaskDecoder, PromptEncoder, migrations
from .variants import Variant


class EfficientVitSam(nn.Module):
    """The three parts under upstream's names; holds weights, computes nothing itself."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        assert isinstance(variant.encoder, EfficientVitConfig)
        assert isinstance(variant.decoder, DecoderConfig)
        self.image_encoder = EfficientVitEncoder(variant.encoder)
        self.prompt_encoder = PromptEncoder(variant.decoder)
        self.mask_decoder = MaskDecoder(variant.decoder)
        for part in self.mask_decoder.modules():
            if isinstance(part, nn.LayerNorm):
                part.eps = NORM_EPS


def components(module: nn.Module, variant: Variant) -> tuple[Component, Component]:
    """Return image encoder and mask decoder, ready to be traced."""
    assert isinstance(module, EfficientVitSam)
    assert isinstance(variant.decoder, DecoderConfig)
    channels, cells = variant.decoder.dim, variant.decoder.embedding_size
    encoder = encoder_contract(variant.preprocessing, channels, cells)
    decoder = decoder_contract(channels, cells, variant.mask_rule)
    image_encoder = ImageEncoderComponent(module.image_encoder, variant.preprocessing.normalisation).eval()
    mask_decoder = MaskDecoderComponent(module.prompt_encoder, module.mask_decoder).eval()
    return (
        Component(
            module=image_encoder,
            contract=encoder,
            example_inputs=example_inputs(encoder),
            float32_modules=("normalise", *_linear_attentions(image_encoder)),
        ),
        Component(
            module=mask_decoder,
            contract=decoder,
            example_inputs=example_inputs(decoder),
            float32_modules=("prompt_encoder.pe_layer", "cell_positions"),
            migrations=tuple(migrations(mask_decoder)),
        ),
    )


def _linear_attentions(module: nn.Module) -> tuple[str, ...]:
    return tuple(name for name, part in module.named_modules() if isinstance(part, LinearAttention))
