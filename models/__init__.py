"""The PyTorch models: variants, where their checkpoints come from, and loading them strictly.

    load(variant, checkpoint) -> SamModel -> components(model) -> (image_encoder, mask_decoder)

A family is a file with a module to build and its components; adding one is that file and a line in `FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from ..errors import RequestError
from . import efficient_sam, sam2, sam2_layout, tiny_vit_sam
from .cache import Progress, pull
from .catalog import DEFAULT_VARIANT, VARIANTS
from .components import Component
from .layers import Migration
from .loader import SamModel, ToUpstream, load_into, random_model
from .plain import PlainModel, first_generation
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
    "sam2": Family(sam2.build, sam2.components, sam2_layout.to_upstream, sam2.plain),
}


def find(name: str) -> Variant:
    """Return the variant of that name.

    Raises:
        RequestError: there is none; the text lists those that exist.
    """
    if name not in VARIANTS:
        raise RequestError(f"{name!r} is no model; choose one of {', '.join(VARIANTS)} (`sam-export --help`: commands)")
    return VARIANTS[name]


def load(variant: str | Variant, checkpoint: Path | None = None, progress: Progress | None = None) -> SamModel:
    """Return the model with its pinned weights, fetched if need be, or with those of `checkpoint`.

    Raises:
        RequestError: unknown variant.
        CheckpointError: cannot be fetched, fails its hash, or is not this family's layout.
    """
    row = find(variant) if isinstance(variant, str) else variant
    path = checkpoint if checkpoint is not None else pull(row, progress)
    family = FAMILIES[row.family]
    model = load_into(family.build(row), row, path, family.to_upstream)
    return model if checkpoint is None else replace(model, own_file=checkpoint.name)


def untrained(variant: str | Variant, seed: int = 0) -> SamModel:
    """Return the model with seeded random weights: no file is needed, and its masks mean nothing.

    Raises:
        RequestError: unknown variant.
    """
    row = find(variant) if isinstance(variant, str) else variant
    return random_model(FAMILIES[row.family].build(row), row, seed=seed)


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
