"""Checkpoints of SAM 2 and SAM 2.1."""

from __future__ import annotations

from ...contract import MaskRule, Preprocessing, StabilityFallback
from ..hiera import HieraConfig
from ..sam import DecoderConfig
from ..sam2_layout import VIDEO_KEYS
from ..sources import UrlSource
from ..variants import SAM_MEAN_STD, Variant

# Source: facebookresearch/sam2 `sam2/utils/transforms.py`, `sam2/sam2_image_predictor.py`. Upstream resizes in float32;
# every runtime here resizes on uint8, with the same filter.
SAM2_PREPROCESSING = Preprocessing(
    image_hw=(1024, 1024),
    prompt_frame_hw=(1024, 1024),
    fit="stretch",
    filter="pillow_bilinear",
    padding="mean",
    normalisation=SAM_MEAN_STD,
)
# Source: facebookresearch/sam2 `sam2/build_sam.py` (`apply_postprocessing`), `sam2/sam2_image_predictor.py`.
SAM2_MASK_RULE = MaskRule(
    mask_hw=(256, 256),
    single_mask_token=0,
    multimask_tokens=(1, 2, 3),
    padding_point="always",
    threshold=0.0,
    prompts=("box", "point", "mask"),
    stability_fallback=StabilityFallback(delta=0.05, threshold=0.98),
    low_res_limit=32.0,
    upsampling="direct",
)
SAM2_DECODER = DecoderConfig(embedding_size=64, frame_size=1024)

# Source: facebookresearch/sam2 `sam2/configs/`; SAM 2 and SAM 2.1 differ only in what follows objects through a video.
TINY = HieraConfig()
SMALL = HieraConfig(stages=(1, 2, 11, 2), global_blocks=(7, 10, 13))
BASE_PLUS = HieraConfig(embed_dim=112, heads=2, stages=(2, 3, 16, 3), global_blocks=(12, 16, 20), background=14)
LARGE = HieraConfig(embed_dim=144, heads=2, stages=(2, 6, 36, 4), global_blocks=(23, 33, 43), windows=(8, 4, 16, 8))

SAM2_URL = "https://dl.fbaipublicfiles.com/segment_anything_2/072824"
SAM2_1_URL = "https://dl.fbaipublicfiles.com/segment_anything_2/092824"


def _row(name: str, url: str, encoder: HieraConfig, *, parameters: int, size: int, sha256: str) -> Variant:
    return Variant(
        name=name,
        family="sam2",
        license="Apache-2.0",
        description="Everyday pictures; answers to points, boxes and masks",
        source=UrlSource(url),
        parameters=parameters,
        encoder=encoder,
        decoder=SAM2_DECODER,
        preprocessing=SAM2_PREPROCESSING,
        mask_rule=SAM2_MASK_RULE,
        checkpoint_bytes=size,
        checkpoint_sha256=sha256,
        unused_keys=VIDEO_KEYS,
        verified_against="facebookresearch/sam2's own source and transformers Sam2Model",
    )


SAM2_1_HIERA_TINY = _row(
    "sam2.1_hiera_tiny",
    f"{SAM2_1_URL}/sam2.1_hiera_tiny.pt",
    TINY,
    parameters=31_440_977,
    size=156_008_466,
    sha256="7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
)

ROWS = (SAM2_1_HIERA_TINY,)
