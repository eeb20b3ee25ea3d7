"""Checkpoints of SAM-HQ."""

from __future__ import annotations

from ..sources import HubSource
from ..tiny_vit import TinyVitConfig
from ..variants import SAM_DECODER, SAM_MASK_RULE, SAM_PREPROCESSING, Variant
from ..vit import VitConfig
from .tiny_vit_sam import CLASSIFIER, TINY_VIT_1024
from .vit_sam import VIT_B, VIT_H, VIT_L

REFERENCE = "SysCV/sam-hq's own source"


def _row(
    name: str, encoder: VitConfig | TinyVitConfig, *, revision: str, parameters: int, size: int, sha256: str
) -> Variant:
    return Variant(
        name=name,
        family="hq_sam",
        license="Apache-2.0",
        description="Everyday photographs, finer outlines than SAM's; answers to points, boxes and masks",
        source=HubSource("lkeab/hq-sam", f"{name}.pth", revision),
        parameters=parameters,
        checkpoint_bytes=size,
        checkpoint_sha256=sha256,
        encoder=encoder,
        decoder=SAM_DECODER,
        preprocessing=SAM_PREPROCESSING,
        mask_rule=SAM_MASK_RULE,
        unused_keys=CLASSIFIER,
        verified_against=REFERENCE,
    )


SAM_HQ_VIT_B = _row(
    "sam_hq_vit_b",
    VIT_B,
    revision="8a94b5e92b6a4997d813d9057f37a8cb6213082a",
    parameters=94_806_576,
    size=379_335_069,
    sha256="14a9d662cd6f5a9c2dba6d40ab0058d88d287e4a18fd6fdc6ad5fb1a3fdeaa57",
)
SAM_HQ_VIT_L = _row(
    "sam_hq_vit_l",
    VIT_L,
    revision="519b37f36c603d27fadf4000b8f8e10258b213eb",
    parameters=313_676_080,
    size=1_254_865_805,
    sha256="e1a6c385d62bf005ded91a54d5ec55c985cfc4103ef89c08d90f39f04934c343",
)
SAM_HQ_VIT_H = _row(
    "sam_hq_vit_h",
    VIT_H,
    revision="67ab82412bc794d5ce2e9799b8b6a3c0a8cfe1d2",
    parameters=642_686_000,
    size=2_570_940_653,
    sha256="a7ac14a085326d9fa6199c8c698c4f0e7280afdbb974d2c4660ec60877b45e35",
)
SAM_HQ_VIT_TINY = _row(
    "sam_hq_vit_tiny",
    TINY_VIT_1024,
    revision="a3a77cd0a2e5e50eaa76faccf61b964732d9b35f",
    parameters=10_256_964,
    size=42_526_881,
    sha256="0f32c075ccdd870ae54db2f7630e7a0878ede5a2b06d05d6fe02c65a82fb7196",
)

ROWS = (SAM_HQ_VIT_B, SAM_HQ_VIT_L, SAM_HQ_VIT_H, SAM_HQ_VIT_TINY)
