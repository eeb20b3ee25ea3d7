"""The family of LiteMedSAM and MobileSAM: a TinyViT encoder with SAM's prompt encoder and mask decoder."""

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
from .sam import DecoderConfig, MaskDecoder, PromptEncoder
from .sam import migrations as decoder_migrations
from .tiny_vit import TinyVit, TinyVitConfig
from .tiny_vit_engine import EngineTinyVit
from .tiny_vit_engine import migrations as encoder_migrations
from .variants import Variant


class TinyVitSam(nn.Module):
    """The three parts under upstream's names; holds weights, computes nothing itself."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        assert isinstance(variant.encoder, TinyVitConfig)
        assert isinstance(variant.decoder, DecoderConfig)
        self.image_encoder = TinyVit(variant.encoder)
        self.prompt_encoder = PromptEncoder(variant.decoder)
        self.mask_decoder = MaskDecoder(variant.decoder)


def components(module: nn.Module, variant: Variant) -> tuple[Component, Component]:
    """Return image encoder and mask decoder, ready to be traced."""
    assert isinstance(module, TinyVitSam)
    assert isinstance(variant.decoder, DecoderConfig)
    channels, cells = variant.decoder.dim, variant.decoder.embedding_size
    normalisation = variant.preprocessing.normalisation
    encoder = encoder_contract(variant.preprocessing, channels, cells)
    decoder = decoder_contract(channels, cells, variant.mask_rule)
    image_encoder = ImageEncoderComponent(EngineTinyVit(module.image_encoder), normalisation).eval()
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
