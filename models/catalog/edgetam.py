"""EdgeTAM's checkpoint."""

from __future__ import annotations

from ..repvit import RepVitConfig
from ..sam2_layout import VIDEO_KEYS
from ..sources import UrlSource
from ..variants import SAM_DECODER, Variant
from .sam2 import SAM2_MASK_RULE, SAM2_PREPROCESSING

# timm's `repvit_m1`.
REPVIT_M1 = RepVitConfig()

EDGETAM = Variant(
    name="edgetam",
    family="edgetam",
    license="Apache-2.0",
    description="Everyday pictures on phones; answers to points, boxes and masks",
    source=UrlSource(
        "https://github.com/facebookresearch/EdgeTAM/raw/9cc44bfe9e16cc374242917b91283c718410ea87/checkpoints/edgetam.pt"
    ),
    parameters=9_120_641,
    git_blob="abd54d22bbd22ba3e53cf59a307e59e0f3701be6",
    encoder=REPVIT_M1,
    decoder=SAM_DECODER,
    preprocessing=SAM2_PREPROCESSING,
    mask_rule=SAM2_MASK_RULE,
    unused_keys=VIDEO_KEYS,
    verified_against="facebookresearch/EdgeTAM's own source on timm's RepViT, and transformers EdgeTamModel",
)

ROWS = (EDGETAM,)
