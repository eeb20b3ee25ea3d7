"""Checkpoints of EfficientSAM."""

from __future__ import annotations

from dataclasses import replace

from ...contract import MaskRule
from ..efficient_sam import EfficientSamConfig
from ..sources import UrlSource
from ..variants import SAM_DECODER, SAM_PREPROCESSING, Variant

UPSTREAM = "https://github.com/yformer/EfficientSAM/raw/d525f622e6f640acf5a0fc37c7ca1f243da5bde0/weights/"
# Upstream resizes with torch's bilinear interpolation, without antialiasing; Pillow's filter is what every runtime
# here repeats. Its mean and deviation, over 0..1, are SAM's over 0..255.
PREPROCESSING = replace(SAM_PREPROCESSING, fit="stretch")
# Upstream's `forward` gives tokens 1 to 3 and leaves the choice to its caller, and upsamples with a bicubic filter.
MASK_RULE = MaskRule(
    mask_hw=(256, 256),
    single_mask_token=0,
    multimask_tokens=(1, 2, 3),
    padding_point="always",
    threshold=0.0,
    prompts=("box", "point"),
    takes_mask=False,
    point_slots=6,
)

EFFICIENT_SAM_TI = Variant(
    name="efficient_sam_ti",
    family="efficient_sam",
    license="Apache-2.0",
    description="Everyday photographs; answers to boxes and foreground points, six in all, not to masks",
    source=UrlSource(UPSTREAM + "efficient_sam_vitt.pt"),
    parameters=10_223_204,
    git_blob="af883c49e33c68f01107be52df0ecad26a48355f",
    encoder=EfficientSamConfig(image_size=1024, dim=192, heads=3),
    decoder=SAM_DECODER,
    preprocessing=PREPROCESSING,
    mask_rule=MASK_RULE,
    verified_against="upstream source in the wheel executorch 1.5.1",
)

EFFICIENT_SAM_S = replace(
    EFFICIENT_SAM_TI,
    name="efficient_sam_s",
    source=UrlSource(UPSTREAM + "efficient_sam_vits.pt.zip"),
    parameters=26_413_028,
    git_blob="fa4e9f05f753e109dbde052f97d37903b833cf53",
    encoder=EfficientSamConfig(image_size=1024, dim=384, heads=6),
)

ROWS = (EFFICIENT_SAM_TI, EFFICIENT_SAM_S)
