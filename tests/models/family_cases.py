"""A tiny variant of every family, for tests that must hold of each: random weights, pictures of 64 px, seconds.

A family adds one function that returns its row shrunk, and one line in `FAMILY_CASES`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from sam_export.models.catalog.edgetam import EDGETAM
from sam_export.models.catalog.efficient_sam import EFFICIENT_SAM_TI
from sam_export.models.catalog.efficientvit_sam import EFFICIENTVIT_SAM_L0
from sam_export.models.catalog.hq_sam import SAM_HQ_VIT_B, SAM_HQ_VIT_TINY
from sam_export.models.catalog.repvit_sam import EDGE_SAM, REPVIT_SAM
from sam_export.models.catalog.sam2 import SAM2_1_HIERA_TINY
from sam_export.models.catalog.tiny_vit_sam import LITE_MEDSAM
from sam_export.models.catalog.vit_sam import SAM_VIT_B
from sam_export.models.decoder_config import DecoderConfig
from sam_export.models.efficient_sam import EfficientSamConfig
from sam_export.models.efficientvit import EfficientVitConfig
from sam_export.models.hiera import HieraConfig
from sam_export.models.repvit import RepVitConfig
from sam_export.models.repvit_sam import RepVitSamConfig
from sam_export.models.tiny_vit import TinyVitConfig
from sam_export.models.variants import Variant
from sam_export.models.vit import VitConfig

TINY_DECODER = DecoderConfig(embedding_size=16, frame_size=64, dim=32, heads=4, mlp_dim=64)
# Of an encoder that takes 16 pixels for a cell.
SMALL_CELLS = DecoderConfig(embedding_size=8, frame_size=128, dim=32, heads=4, mlp_dim=64)


def tiny(row: Variant, name: str, encoder: object, decoder: object = TINY_DECODER, *, side: int = 64) -> Variant:
    """Return a row for pictures of `side` px whose masks have `side` px too, and that answers to every prompt."""
    return dataclasses.replace(
        row,
        name=name,
        encoder=encoder,
        decoder=decoder,
        preprocessing=dataclasses.replace(row.preprocessing, image_hw=(side, side), prompt_frame_hw=(side, side)),
        mask_rule=dataclasses.replace(
            row.mask_rule, mask_hw=(64, 64), multimask_tokens=(1, 2, 3), prompts=("box", "point", "mask")
        ),
    )


def tiny_vit_sam() -> Variant:
    """A LiteMedSAM of 64 px; its wide windows take padding, its last ones do not."""
    encoder = TinyVitConfig(
        image_size=64,
        patch_kernel=1,
        patch_stride=1,
        embed_dims=(32, 32, 64, 64),
        depths=(1, 1, 1, 1),
        window_sizes=(7, 7, 14, 7),
        out_channels=32,
    )
    return tiny(LITE_MEDSAM, "tiny_sam", encoder)


def vit_sam() -> Variant:
    """A SAM of 128 px: windows of 3 that 8 cells do not fill, then a block over the whole picture."""
    encoder = VitConfig(48, 2, 4, global_blocks=(1,), image_size=128, window_size=3, out_channels=32)
    row = tiny(SAM_VIT_B, "tiny_vit_sam", encoder, SMALL_CELLS, side=128)
    return dataclasses.replace(row, mask_rule=dataclasses.replace(row.mask_rule, mask_hw=(32, 32)))


def hq_sam() -> Variant:
    """A SAM-HQ of 128 px; its finer features come from the first of its two blocks over the whole picture."""
    encoder = VitConfig(48, 3, 4, global_blocks=(1, 2), image_size=128, window_size=3, out_channels=32)
    row = tiny(SAM_HQ_VIT_B, "tiny_hq_sam", encoder, SMALL_CELLS, side=128)
    return dataclasses.replace(row, mask_rule=dataclasses.replace(row.mask_rule, mask_hw=(32, 32)))


def hq_sam_tiny_vit() -> Variant:
    """The same with LiteMedSAM's encoder, shrunk."""
    return tiny(SAM_HQ_VIT_TINY, "tiny_hq_sam_tiny_vit", tiny_vit_sam().encoder)


def efficient_sam() -> Variant:
    """An EfficientSAM of 64 px; its position table is stretched from 14 cells to 16."""
    encoder = EfficientSamConfig(image_size=64, dim=48, heads=3, depth=2, patch_size=4, out_channels=32)
    row = tiny(EFFICIENT_SAM_TI, "tiny_efficient_sam", encoder)
    return dataclasses.replace(row, mask_rule=dataclasses.replace(row.mask_rule, prompts=("box", "point")))


def sam2() -> Variant:
    """A SAM 2 of 128 px: a block over the whole picture, windows that take padding, two stages that do not."""
    encoder = HieraConfig(
        image_size=128, embed_dim=16, stages=(1, 1, 2, 1), global_blocks=(3,), windows=(8, 4, 6, 3), background=5
    )
    row = tiny(SAM2_1_HIERA_TINY, "tiny_sam2", encoder, SMALL_CELLS, side=128)
    return dataclasses.replace(row, mask_rule=dataclasses.replace(row.mask_rule, mask_hw=(32, 32)))


def efficientvit_sam() -> Variant:
    """An EfficientViT-SAM that encodes 64 px and is asked in a frame of 128; its maps of 2 to 8 cells are stretched."""
    encoder = EfficientVitConfig(
        image_size=64,
        depths=(1, 1, 1, 1, 1),
        head_depth=1,
        widths=(8, 16, 16, 32, 32),
        head_dim=16,
        head_width=32,
        embedding_size=16,
        out_channels=32,
    )
    decoder = dataclasses.replace(TINY_DECODER, frame_size=128)
    row = tiny(EFFICIENTVIT_SAM_L0, "tiny_efficientvit_sam", encoder, decoder)
    return dataclasses.replace(row, preprocessing=dataclasses.replace(row.preprocessing, prompt_frame_hw=(128, 128)))


def edgetam() -> Variant:
    """An EdgeTAM of 128 px, a block a stage."""
    encoder = RepVitConfig(image_size=128, channels=(16, 24, 32, 48), depths=(1, 1, 2, 1))
    row = tiny(EDGETAM, "tiny_edgetam", encoder, SMALL_CELLS, side=128)
    return dataclasses.replace(row, mask_rule=dataclasses.replace(row.mask_rule, mask_hw=(32, 32)))


def repvit_sam() -> Variant:
    """A RepViT-SAM of 128 px: 8 cells a side from the third stage on."""
    encoder = RepVitSamConfig(128, (8, 16, 16, 32), (1, 1, 2, 1), fuses=False, point_norm=False, out_channels=32)
    return _of_cells_of_16(REPVIT_SAM, "tiny_repvit_sam", encoder)


def edge_sam() -> Variant:
    """An EdgeSAM of 128 px: a last stage of 4 cells a side, stretched and added."""
    encoder = RepVitSamConfig(128, (8, 16, 16, 32), (1, 1, 2, 1), fuses=True, point_norm=True, out_channels=32)
    return _of_cells_of_16(EDGE_SAM, "tiny_edge_sam", encoder)


def _of_cells_of_16(row: Variant, name: str, encoder: object) -> Variant:
    shrunk = tiny(row, name, encoder, SMALL_CELLS, side=128)
    return dataclasses.replace(shrunk, mask_rule=dataclasses.replace(shrunk.mask_rule, mask_hw=(32, 32)))


# Keyed by what the case shows; a family may have several.
FAMILY_CASES: Mapping[str, Callable[[], Variant]] = {
    "tiny_vit_sam": tiny_vit_sam,
    "vit_sam": vit_sam,
    "hq_sam": hq_sam,
    "hq_sam_tiny_vit": hq_sam_tiny_vit,
    "efficient_sam": efficient_sam,
    "efficientvit_sam": efficientvit_sam,
    "repvit_sam": repvit_sam,
    "edge_sam": edge_sam,
    "sam2": sam2,
    "edgetam": edgetam,
}
