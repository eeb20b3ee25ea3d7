"""The PyTorch models: variants, where their checkpoints come from, and loading them strictly.

    load(variant, checkpoint) -> SamModel -> components(model) -> (image_encoder, mask_decoder)

A family is a file with a module to build and its components; adding one is that file and a line in `FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import CheckpointError, LayoutError, RequestError
from . import (
    edgetam,
    efficient_sam,
    efficientvit_sam,
    hf_layout,
    hq_sam,
    repvit_sam,
    sam2,
    sam2_layout,
    tiny_vit_sam,
    vit_sam,
)
from .cache import Progress, pull
from .catalog import DEFAULT_VARIANT, VARIANTS
from .components import Component
from .fitting import fit, matches
from .image_size import published_name, resized, size_of_positions, split_name
from .layers import Migration
from .loader import SamModel, ToUpstream, layout_of, load_into, random_model
from .loading import read_checkpoint
from .norms_at_random import settle_norms
from .plain import PlainModel, first_generation
from .recognise import Known, advice, matches_of
from .variants import Variant

__all__ = [
    "DEFAULT_VARIANT",
    "FAMILIES",
    "VARIANTS",
    "Component",
    "Migration",
    "PlainModel",
    "SamModel",
    "Variant",
    "components",
    "find",
    "load",
    "plain",
    "published_name",
    "require_licence",
    "untrained",
]


@dataclass(frozen=True)
class Family:
    """How to build a family's module for a variant, and how to split it into components.

    `to_upstream`: renames the tensors of another layout, Hugging Face's say, to upstream's; those that are upstream's
    already come back as they are. None where a family has one layout. `plain`: the module as upstream calls it.
    """

    build: Callable[[Variant], nn.Module]
    components: Callable[[nn.Module, Variant], tuple[Component, ...]]
    to_upstream: ToUpstream | None = None
    plain: Callable[[nn.Module], PlainModel] = first_generation


FAMILIES: Mapping[str, Family] = {
    "tiny_vit_sam": Family(tiny_vit_sam.TinyVitSam, tiny_vit_sam.components),
    "efficient_sam": Family(efficient_sam.EfficientSam, efficient_sam.components, plain=efficient_sam.plain),
    "efficientvit_sam": Family(efficientvit_sam.EfficientVitSam, efficientvit_sam.components),
    "repvit_sam": Family(repvit_sam.RepVitSam, repvit_sam.components),
    "sam2": Family(sam2.build, sam2.components, sam2_layout.to_upstream, sam2.plain),
    "edgetam": Family(edgetam.build, edgetam.components, sam2_layout.to_upstream, sam2.plain),
    "vit_sam": Family(vit_sam.VitSam, vit_sam.components, vit_sam.to_upstream),
    "hq_sam": Family(hq_sam.HqSam, hq_sam.components, hf_layout.to_upstream, hq_sam.plain),
}


def find(name: str) -> Variant:
    """Return the variant of that name; `sam_vit_b-512px` is sam_vit_b for pictures of 512 pixels a side.

    Raises:
        RequestError: there is none, the text lists those that exist; or it cannot have that size.
    """
    published, size = split_name(name)
    if published not in VARIANTS:
        raise RequestError(f"{name!r} is no model; choose one of {', '.join(VARIANTS)} (`sam-export --help`: commands)")
    return VARIANTS[published] if size is None else resized(VARIANTS[published], size)


def load(variant: str | Variant, checkpoint: Path | None = None, progress: Progress | None = None) -> SamModel:
    """Return the model with its pinned weights, fetched if need be, or with those of `checkpoint`.

    A checkpoint of one part, the image encoder say, gets the others from the pinned weights; the model's notes say so.

    Raises:
        RequestError: unknown variant.
        CheckpointError: cannot be fetched, fails its hash, or is not this family's layout.
    """
    row = find(variant) if isinstance(variant, str) else variant
    family = FAMILIES[row.family]
    if checkpoint is None:
        return load_into(family.build(row), row, _pulled(row, progress), family.to_upstream)
    try:
        model = load_into(family.build(row), row, checkpoint, family.to_upstream, base=lambda: _pulled(row, progress))
    except LayoutError as exc:
        raise CheckpointError(f"{exc}{_lookalike(row, checkpoint)}") from exc
    return replace(model, own_file=checkpoint.name)


def _pulled(row: Variant, progress: Progress | None) -> Path:
    """Return the checkpoint as it was published, for whatever size the model is now."""
    return pull(VARIANTS.get(published_name(row.name), row), progress)


def _lookalike(row: Variant, checkpoint: Path) -> str:
    """Return what to type instead, if the checkpoint fits another size or model better; "" if not."""
    tensors = read_checkpoint(checkpoint).tensors
    return _other_size(row, checkpoint, tensors) or advice(
        row.name, checkpoint, matches_of(tensors, map(_known, VARIANTS.values()))
    )


def _other_size(row: Variant, checkpoint: Path, tensors: Mapping[str, Tensor]) -> str:
    """Return how the file is loaded, if it is of this model and its positions are for pictures of another size."""
    own = _known(row)
    found = fit(tensors, own.layout, own.to_upstream).tensors
    size = size_of_positions(found, own.layout, row.preprocessing.image_hw[0])
    try:
        other = None if size is None else _known(resized(VARIANTS[published_name(row.name)], size))
    except RequestError:
        return ""
    if size is None or other is None or matches(found, other.layout) < len(other.layout):
        return ""
    return (
        f"; its positions are for pictures of {size} pixels a side: "
        f"use `sam-export {published_name(row.name)} --image-size {size} --checkpoint {checkpoint}`"
    )


def _known(row: Variant) -> Known:
    """Return the layout of a model without allocating it."""
    family = FAMILIES[row.family]
    with torch.device("meta"):
        return Known(row.name, layout_of(family.build(row)), family.to_upstream)


def untrained(variant: str | Variant, seed: int = 0) -> SamModel:
    """Return the model with seeded random weights: no file is needed, and its masks mean nothing.

    Raises:
        RequestError: unknown variant.
    """
    row = find(variant) if isinstance(variant, str) else variant
    model = random_model(FAMILIES[row.family].build(row), row, seed=seed)
    noise = torch.randn(1, 3, *row.preprocessing.image_hw, generator=torch.Generator().manual_seed(seed))
    settle_norms(model.module.get_submodule("image_encoder"), noise)
    return model


def require_licence(variant: Variant, *, accepted: bool) -> None:
    """Raise RequestError unless the terms of the weights' licence, if it has any, were accepted."""
    if variant.license_terms is None or accepted:
        return
    raise RequestError(
        f"{variant.name}: its weights have a licence to accept, {variant.full_license}; read it and give"
        " --accept-license, or choose another model (`sam-export models`)"
    )


def components(model: SamModel) -> tuple[Component, ...]:
    """Return the model's graphs to be, image encoder first."""
    parts = FAMILIES[model.variant.family].components(model.module, model.variant)
    return tuple(replace(part, card=model.card) for part in parts)


def plain(model: SamModel) -> PlainModel:
    """Return the model's steps as upstream calls them."""
    return FAMILIES[model.variant.family].plain(model.module)
