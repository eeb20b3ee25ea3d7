"""The contracts of a model's two graphs, made from its row."""

from __future__ import annotations

from ..contract import GraphContract, MaskRule, TensorSpec
from .variants import Variant


def encoder_contract(variant: Variant, features: tuple[TensorSpec, ...] = ()) -> GraphContract:
    """Return the image encoder's contract. `features`: what it gives beside `image_embeddings`."""
    height, width = variant.preprocessing.image_hw
    image = TensorSpec(
        "image",
        (1, 3, height, width),
        "float32",
        "RGB picture, 0..255, resized and padded to the frame; normalisation is inside the graph",
    )
    embeddings = _embeddings(variant, "Image embeddings, computed once per picture")
    return GraphContract("image_encoder", (image,), (embeddings, *features))


def decoder_contract(
    variant: Variant,
    features: tuple[TensorSpec, ...] = (),
    scores: tuple[TensorSpec, ...] = (),
    *,
    masks: int | None = None,
) -> GraphContract:
    """Return the mask decoder's contract.

    `features`: what it takes from the encoder beside `image_embeddings`. `scores`: what it gives beside masks and IoUs.
    `masks`: how many it gives, if not those of SAM's four tokens and the rule's.
    """
    rule = variant.mask_rule
    embeddings = _embeddings(variant, "Image embeddings from the image encoder")
    answers = _answers(rule, masks or 1 + max((rule.single_mask_token, *rule.multimask_tokens, 3)))
    return GraphContract("mask_decoder", (embeddings, *features, *_prompts(rule)), (*answers, *scores))


def _embeddings(variant: Variant, meaning: str) -> TensorSpec:
    cells = variant.decoder.embedding_size
    return TensorSpec("image_embeddings", (1, variant.decoder.dim, cells, cells), "float32", meaning)


def _prompts(rule: MaskRule) -> tuple[TensorSpec, ...]:
    count = rule.point_slots or "N"
    labels = "0 background, 1 foreground, 2 box top-left, 3 box bottom-right, -1 padding"
    points = (
        TensorSpec("point_coords", ("B", count, 2), "float32", "Points (x, y) in pixels of the prompt frame"),
        TensorSpec("point_labels", ("B", count), "float32", labels),
    )
    mask = (
        TensorSpec("mask_input", ("B", 1, *rule.mask_hw), "float32", "Low-res logits of an earlier mask, or zeros"),
        TensorSpec("has_mask_input", ("B",), "float32", "1 where mask_input is given, else 0"),
    )
    return points + mask if rule.takes_mask else points


def _answers(rule: MaskRule, masks: int) -> tuple[TensorSpec, ...]:
    meaning = "Mask logits: the single-mask token first, then the multimask ones"
    return (
        TensorSpec("low_res_masks", ("B", masks, *rule.mask_hw), "float32", meaning),
        TensorSpec("iou_predictions", ("B", masks), "float32", "Predicted IoU of each mask"),
    )
