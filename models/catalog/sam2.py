"""Checkpoints of SAM 2 and SAM 2.1."""

from __future__ import annotations

from dataclasses import replace

from ...contract import MaskRule, StabilityFallback
from ..hiera import HieraConfig
from ..sam2_layout import VIDEO_KEYS
from ..sources import UrlSource
from ..variants import SAM_DECODER, SAM_PREPROCESSING, Variant

# Source: facebookresearch/sam2 `sam2/utils/transforms.py`, `sam2/sam2_image_predictor.py`. Upstream resizes in float32;
# every runtime here resizes on uint8, with the same filter.
SAM2_PREPROCESSING = replace(SAM_PREPROCESSING, fit="stretch")
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

# Source: facebookresearch/sam2 `sam2/configs/`; SAM 2 and SAM 2.1 differ only in what follows objects through a video.
TINY = HieraConfig()
SMALL = HieraConfig(stages=(1, 2, 11, 2), global_blocks=(7, 10, 13))
BASE_PLUS = HieraConfig(embed_dim=112, heads=2, stages=(2, 3, 16, 3), global_blocks=(12, 16, 20), background=14)
LARGE = HieraConfig(embed_dim=144, heads=2, stages=(2, 6, 36, 4), global_blocks=(23, 33, 43), windows=(8, 4, 16, 8))

SAM2_URL = "https://dl.fbaipublicfiles.com/segment_anything_2/072824"
SAM2_1_URL = "https://dl.fbaipublicfiles.com/segment_anything_2/092824"


def _row(
    name: str, url: str, encoder: HieraConfig, *, parameters: int, sha256: str, size: int | None = None
) -> Variant:
    return Variant(
        name=name,
        family="sam2",
        license="Apache-2.0",
        description="Everyday pictures; answers to points, boxes and masks",
        source=UrlSource(url),
        parameters=parameters,
        encoder=encoder,
        decoder=SAM_DECODER,
        preprocessing=SAM2_PREPROCESSING,
        mask_rule=SAM2_MASK_RULE,
        checkpoint_bytes=size,
        checkpoint_sha256=sha256,
        unused_keys=VIDEO_KEYS,
        verified_against="facebookresearch/sam2's own source and transformers Sam2Model",
    )


SAM2_HIERA_TINY = _row(
    "sam2_hiera_tiny",
    f"{SAM2_URL}/sam2_hiera_tiny.pt",
    TINY,
    parameters=31_440_721,
    sha256="65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125",
)
SAM2_HIERA_SMALL = _row(
    "sam2_hiera_small",
    f"{SAM2_URL}/sam2_hiera_small.pt",
    SMALL,
    parameters=38_538_577,
    sha256="95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3",
)
SAM2_HIERA_BASE_PLUS = _row(
    "sam2_hiera_base_plus",
    f"{SAM2_URL}/sam2_hiera_base_plus.pt",
    BASE_PLUS,
    parameters=73_328_401,
    sha256="d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071",
)
SAM2_HIERA_LARGE = _row(
    "sam2_hiera_large",
    f"{SAM2_URL}/sam2_hiera_large.pt",
    LARGE,
    parameters=216_924_865,
    sha256="7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b",
)
SAM2_1_HIERA_TINY = _row(
    "sam2.1_hiera_tiny",
    f"{SAM2_1_URL}/sam2.1_hiera_tiny.pt",
    TINY,
    parameters=31_440_721,
    size=156_008_466,
    sha256="7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
)
SAM2_1_HIERA_SMALL = _row(
    "sam2.1_hiera_small",
    f"{SAM2_1_URL}/sam2.1_hiera_small.pt",
    SMALL,
    parameters=38_538_577,
    sha256="6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
)
SAM2_1_HIERA_BASE_PLUS = _row(
    "sam2.1_hiera_base_plus",
    f"{SAM2_1_URL}/sam2.1_hiera_base_plus.pt",
    BASE_PLUS,
    parameters=73_328_401,
    sha256="a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
)
SAM2_1_HIERA_LARGE = _row(
    "sam2.1_hiera_large",
    f"{SAM2_1_URL}/sam2.1_hiera_large.pt",
    LARGE,
    parameters=216_924_865,
    size=898_083_611,
    sha256="2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
)

ROWS = (
    SAM2_HIERA_TINY,
    SAM2_HIERA_SMALL,
    SAM2_HIERA_BASE_PLUS,
    SAM2_HIERA_LARGE,
    SAM2_1_HIERA_TINY,
    SAM2_1_HIERA_SMALL,
    SAM2_1_HIERA_BASE_PLUS,
    SAM2_1_HIERA_LARGE,
)
