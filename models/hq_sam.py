"""The family of SAM-HQ: SAM's ViT, or MobileSAM's TinyViT, with a decoder that also sees early features.

Upstream hands the features after the first block over the whole picture to its decoder (`interm_embeddings`, 768 to
1280 channels) and narrows them there for every prompt. Here the image encoder narrows them, as it does in SAM 2, and
gives `hq_features`, upstream's own name for the result: smaller, and nothing is computed twice.
"""

from __future__ import annotations

from torch import Tensor, nn

from ..contract import GraphContract, Normalisation, TensorSpec
from .components import CellPositions, Component, Migrations, image_encoder, mask_decoder, normaliser
from .contracts import decoder_contract, encoder_contract
from .engine_attention import with_engine_attention
from .hq_decoder import HqMaskDecoder
from .plain import Features, PlainModel
from .sam import PromptEncoder
from .tiny_vit import TinyVit, TinyVitConfig
from .tiny_vit_engine import EngineTinyVit
from .tiny_vit_engine import migrations as tiny_vit_migrations
from .variants import Variant
from .vit import Vit, VitConfig
from .vit_engine import EngineVit
from .vit_engine import migrations as vit_migrations


class HqSam(nn.Module):
    """The three parts under upstream's names; holds weights, computes nothing itself."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        config = variant.encoder
        assert isinstance(config, VitConfig | TinyVitConfig)
        self.image_encoder = Vit(config) if isinstance(config, VitConfig) else TinyVit(config)
        self.prompt_encoder = PromptEncoder(variant.decoder)
        early_channels = config.width if isinstance(config, VitConfig) else config.embed_dims[2]
        self.mask_decoder = HqMaskDecoder(variant.decoder, early_channels)


class HqEncoderComponent(nn.Module):
    """image [1, 3, S, S] float32 0..255 -> image_embeddings, hq_features."""

    def __init__(self, encoder: EngineVit | EngineTinyVit, decoder: HqMaskDecoder, how: Normalisation) -> None:
        super().__init__()
        self.normalise = normaliser(how)
        self.encoder = encoder
        self.compress_vit_feat = decoder.compress_vit_feat
        self.embedding_encoder = decoder.embedding_encoder

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        early, embeddings = self.encoder.stages(self.normalise(image))
        return embeddings, self.embedding_encoder(embeddings) + self.compress_vit_feat(early)


class HqDecoderComponent(nn.Module):
    """Prompt encoder and mask decoder in one graph; tensors as in the contract. Positions as in SAM's."""

    def __init__(self, prompt_encoder: PromptEncoder, mask_decoder: HqMaskDecoder) -> None:
        super().__init__()
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder
        self.cell_positions = CellPositions(prompt_encoder.pe_layer)

    def forward(
        self,
        image_embeddings: Tensor,
        hq_features: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        mask_input: Tensor,
        has_mask_input: Tensor,
    ) -> tuple[Tensor, Tensor]:
        sparse = self.prompt_encoder.embed_points(point_coords, point_labels)
        dense = self.prompt_encoder.embed_masks(mask_input, has_mask_input)
        image_pe = self.cell_positions().to(image_embeddings.dtype)
        return self.mask_decoder.decode((image_embeddings, hq_features), image_pe, sparse, dense)


def components(module: nn.Module, variant: Variant) -> tuple[Component, Component]:
    """Return image encoder and mask decoder, ready to be traced."""
    assert isinstance(module, HqSam)
    engine, migrations = _engine(module.image_encoder)
    encoder = HqEncoderComponent(engine, module.mask_decoder, variant.preprocessing.normalisation)
    takes, answers = contracts(variant)
    return (
        image_encoder(encoder, takes, migrations),
        mask_decoder(HqDecoderComponent(module.prompt_encoder, with_engine_attention(module.mask_decoder)), answers),
    )


def _engine(encoder: nn.Module) -> tuple[EngineVit | EngineTinyVit, Migrations]:
    if isinstance(encoder, Vit):
        return EngineVit(encoder), vit_migrations
    assert isinstance(encoder, TinyVit)
    return EngineTinyVit(encoder), tiny_vit_migrations


def contracts(variant: Variant) -> tuple[GraphContract, GraphContract]:
    """Return the contracts of image encoder and mask decoder."""
    config = variant.decoder
    side = 4 * config.embedding_size
    shape = (1, config.dim // 8, side, side)
    features = (TensorSpec("hq_features", shape, "float32", "Finer features of the picture, for the sharper mask"),)
    masks = config.multimask_outputs + 2
    return encoder_contract(variant, features), decoder_contract(variant, features, masks=masks)


def plain(module: nn.Module) -> PlainModel:
    """Return the steps of `MaskDecoderHQ.forward`, as upstream takes them."""
    assert isinstance(module, HqSam)
    encoder, decoder = module.image_encoder, module.mask_decoder

    def encode(image: Tensor) -> Features:
        early, embeddings = encoder.stages(image)
        return {
            "image_embeddings": embeddings,
            "hq_features": decoder.embedding_encoder(embeddings) + decoder.compress_vit_feat(early),
        }

    def decode(features: Features, image_pe: Tensor, sparse: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
        return decoder.decode((features["image_embeddings"], features["hq_features"]), image_pe, sparse, dense)

    return PlainModel(module.prompt_encoder, encode, decode)
