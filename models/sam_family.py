"""What every family with SAM's own prompt encoder and mask decoder shares: its image encoder is all that differs."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from .components import (
    Component,
    ImageEncoderComponent,
    MaskDecoderComponent,
    Migrations,
    image_encoder,
    mask_decoder,
    no_migrations,
)
from .contracts import decoder_contract, encoder_contract
from .sam import MaskDecoder, PromptEncoder
from .variants import Variant


def no_modules(_: nn.Module) -> tuple[str, ...]:
    return ()


class SamModule(nn.Module):
    """The three parts under upstream's names; holds weights, computes nothing itself."""

    def __init__(self, image_encoder: nn.Module, variant: Variant) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.prompt_encoder = PromptEncoder(variant.decoder)
        self.mask_decoder = MaskDecoder(variant.decoder)


def sam_components(
    module: SamModule,
    encoder: nn.Module,
    variant: Variant,
    *,
    migrations: Migrations = no_migrations,
    float32_modules: Callable[[nn.Module], tuple[str, ...]] = no_modules,
) -> tuple[Component, Component]:
    """Return image encoder and mask decoder, ready to be traced.

    Args:
        encoder: the image encoder in the form to export; pictures are normalised in front of it.
        migrations, float32_modules: of the encoder's component, by names below it.
    """
    wrapped = ImageEncoderComponent(encoder, variant.preprocessing.normalisation)
    decoder = MaskDecoderComponent(module.prompt_encoder, module.mask_decoder)
    return (
        image_encoder(wrapped, encoder_contract(variant), migrations, float32_modules(wrapped)),
        mask_decoder(decoder, decoder_contract(variant)),
    )
