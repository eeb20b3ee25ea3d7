"""A family's model called as upstream calls it, without anything that an export re-authors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from .sam import MaskDecoder, PromptEncoder

Features = Mapping[str, Tensor]


@dataclass(frozen=True)
class PlainModel:
    """Upstream's own steps: what the gate's reference is made of.

    `encode`: a normalised image [1, 3, S, S] -> the image encoder's outputs, by the contract's names.
    `decode`: those, the cells' positions [1, E * E, dim], sparse [B, N, dim] and dense [B, dim, E, E] prompt
    embeddings -> low_res_masks [B, M, h, w], iou_predictions [B, M].
    """

    prompt_encoder: PromptEncoder
    encode: Callable[[Tensor], Features]
    decode: Callable[[Features, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def first_generation(module: nn.Module) -> PlainModel:
    """Return the steps of a family whose image encoder gives `image_embeddings` alone."""
    image_encoder, prompt_encoder, mask_decoder = (
        module.get_submodule(name) for name in ("image_encoder", "prompt_encoder", "mask_decoder")
    )
    assert isinstance(prompt_encoder, PromptEncoder)
    assert isinstance(mask_decoder, MaskDecoder)

    def encode(image: Tensor) -> Features:
        return {"image_embeddings": image_encoder(image)}

    def decode(features: Features, image_pe: Tensor, sparse: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
        low_res_masks, iou_predictions = mask_decoder(features["image_embeddings"], image_pe, sparse, dense)
        return low_res_masks, iou_predictions

    return PlainModel(prompt_encoder, encode, decode)
