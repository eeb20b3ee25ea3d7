"""Models that every folder's tests share."""

from __future__ import annotations

import dataclasses

import pytest

from sam_export.models import FAMILIES, SamModel, load
from sam_export.models.catalog.tiny_vit_sam import LITE_MEDSAM
from sam_export.models.loader import random_model
from sam_export.models.sam import DecoderConfig
from sam_export.models.tiny_vit import TinyVitConfig
from sam_export.models.variants import Variant

TINY_ENCODER = TinyVitConfig(
    image_size=64,
    patch_kernel=1,
    patch_stride=1,
    embed_dims=(32, 32, 64, 64),
    depths=(1, 1, 1, 1),
    window_sizes=(7, 7, 14, 7),
    out_channels=32,
)
TINY_DECODER = DecoderConfig(embedding_size=16, frame_size=64, dim=32, heads=4, mlp_dim=64)


def tiny_variant() -> Variant:
    """A LiteMedSAM of 64 px with random weights that answers to every prompt: seconds instead of minutes."""
    return dataclasses.replace(
        LITE_MEDSAM,
        name="tiny_sam",
        encoder=TINY_ENCODER,
        decoder=TINY_DECODER,
        preprocessing=dataclasses.replace(LITE_MEDSAM.preprocessing, image_hw=(64, 64), prompt_frame_hw=(64, 64)),
        mask_rule=dataclasses.replace(
            LITE_MEDSAM.mask_rule, mask_hw=(64, 64), multimask_tokens=(1, 2, 3), prompts=("box", "point", "mask")
        ),
    )


@pytest.fixture(scope="session")
def tiny_sam() -> SamModel:
    variant = tiny_variant()
    return random_model(FAMILIES[variant.family].build(variant), variant, seed=7)


@pytest.fixture(scope="session")
def lite_medsam() -> SamModel:
    return load("lite_medsam")
