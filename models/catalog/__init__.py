"""Every checkpoint that can be exported by name: one file a family, one row a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping

from ..variants import Variant
from . import edgetam, efficient_sam, efficientvit_sam, hq_sam, repvit_sam, sam2, tiny_vit_sam, vit_sam

FAMILY_ROWS = (
    tiny_vit_sam.ROWS,
    vit_sam.ROWS,
    hq_sam.ROWS,
    efficient_sam.ROWS,
    efficientvit_sam.ROWS,
    repvit_sam.ROWS,
    sam2.ROWS,
    edgetam.ROWS,
)

VARIANTS: Mapping[str, Variant] = {variant.name: variant for rows in FAMILY_ROWS for variant in rows}
DEFAULT_VARIANT = tiny_vit_sam.LITE_MEDSAM.name


def same_graphs(name: str) -> str:
    """Return the first model whose graphs are this one's but for the weights: itself, if none before it is."""
    return next(row.name for row in VARIANTS.values() if row.architecture == VARIANTS[name].architecture)
