"""What every family with SAM's own prompt encoder and mask decoder shares: its image encoder is all that differs."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import nn

from .components import (
    Component,
    ImageEncoderComponent,
    MaskDecoderComponent,
    decoder_contract,
    encoder_contract,
    example_inputs,
)
from .engine_attention import migrations as decoder_migrations
from .layers import Migration
from .sam import DecoderConfig, MaskDecoder, PromptEncoder
from .variants import Variant


class SamModule(nn.Module):
    """The three parts under upstream's names; holds weights, computes nothing itself."""

    def __init__(self, image_encoder: nn.Module, variant: Variant) -> None:
        super().__init__()
        assert isinstance(variant.decoder, DecoderConfig)
        self.image_encoder = image_encoder
        self.prompt_encoder = PromptEncoder(variant.decoder)
        self.mask_decoder = MaskDecoder(variant.decoder)


def no_migrations(_: nn.Module) -> Iterable[Migration]:
    return ()


def no_modules(_: nn.Module) -> tuple[str, ...]:
    return ()


def sam_components(
    module: SamModule,
    encoder: nn.Module,
    variant: Variant,
    *,
    migrations: Callable[[nn.Module], Iterable[Migration]] = no_migrations,
    float32_modules: Callable[[nn.Module], tuple[str, ...]] = no_modules,
) -> tuple[Component, Component]:
    """Return image encoder and mask decoder, ready to be traced.

    Args:
        encoder: the image encoder in the form to export; pictures are normalised in front of it.
        migrations, float32_modules: of the encoder's component, by names below it.
    """
    assert isinstance(variant.decoder, DecoderConfig)
    channels, cells = variant.decoder.dim, variant.decoder.embedding_size
    takes = encoder_contract(variant.preprocessing, channels, cells)
    image_encoder = ImageEncoderComponent(encoder, variant.preprocessing.normalisation).eval()
    return (
        Component(
            module=image_encoder,
            contract=takes,
            example_inputs=example_inputs(takes),
            float32_modules=("normalise", *float32_modules(image_encoder)),
            migrations=tuple(migrations(image_encoder)),
        ),
        _decoder(module, variant.decoder, variant),
    )


def _decoder(module: SamModule, config: DecoderConfig, variant: Variant) -> Component:
    takes = decoder_contract(config.dim, config.embedding_size, variant.mask_rule)
    mask_decoder = MaskDecoderComponent(module.prompt_encoder, module.mask_decoder).eval()
    return Component(
        module=mask_decoder,
        contract=takes,
        example_inputs=example_inputs(takes),
        float32_modules=("prompt_encoder.pe_layer", "cell_positions"),
        migrations=tuple(decoder_migrations(mask_decoder)),
    )
