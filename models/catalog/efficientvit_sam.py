"""Checkpoints of EfficientViT-SAM."""

from __future__ import annotations

from dataclasses import replace

from ..efficientvit import EfficientVitConfig
from ..sources import UrlSource
from ..variants import SAM_DECODER, SAM_MASK_RULE, SAM_PREPROCESSING, Variant

UPSTREAM = "https://huggingface.co/mit-han-lab/efficientvit-sam/resolve/main/"
# Pictures of 512 px, prompts and masks in SAM's frame of 1024.
PREPROCESSING_512 = replace(SAM_PREPROCESSING, image_hw=(512, 512))


def _row(name: str, encoder: EfficientVitConfig, parameters: int, sha256: str) -> Variant:
    return Variant(
        name=f"efficientvit_sam_{name}",
        family="efficientvit_sam",
        license="Apache-2.0",
        description="Everyday photographs; answers to points, boxes and masks",
        source=UrlSource(f"{UPSTREAM}efficientvit_sam_{name}.pt"),
        parameters=parameters,
        checkpoint_sha256=sha256,
        encoder=encoder,
        decoder=SAM_DECODER,
        preprocessing=PREPROCESSING_512 if encoder.image_size == 512 else SAM_PREPROCESSING,
        mask_rule=SAM_MASK_RULE,
        verified_against="upstream source in the wheel efficientsam 1.0.0",
    )


def _large(depths: tuple[int, ...], head_depth: int) -> EfficientVitConfig:
    return EfficientVitConfig(image_size=512, depths=depths, head_depth=head_depth)


def _extra_large(depths: tuple[int, ...], head_depth: int) -> EfficientVitConfig:
    return EfficientVitConfig(
        image_size=1024,
        depths=depths,
        head_depth=head_depth,
        widths=(32, 64, 128, 256, 512, 1024),
        blocks=("res", "fmb", "fmb", "fmb", "att3", "att3"),
        expansions=(1, 4, 4, 4, 4, 6),
        fewer_norms=(False, False, False, False, True, True),
        head_expansion=4,
    )


ROWS = (
    _row(
        "l0", _large((1, 1, 1, 4, 4), 4), 34_792_784, "c4f994b01a16d48bcf2fbbb089448cfbf58fae5811edfa8113c953b8b8cc64b8"
    ),
    _row(
        "l1", _large((1, 1, 1, 6, 6), 8), 47_650_128, "fa151df2b9b96896accd505470755cdd293a4c50cdabac95478f3fbd86d9152b"
    ),
    _row(
        "l2",
        _large((1, 2, 2, 8, 8), 12),
        61_328_592,
        "d4bfd842224cbb99de09acc3325e81ac5b7e8725c8fbdab152305e5d934bfe4a",
    ),
    _row(
        "xl0",
        _extra_large((0, 1, 1, 2, 3, 3), 6),
        116_957_904,
        "9bc2f87bd23d6e6d1f7b5beff910f98835c7c333fac73e695bac0bec685968f8",
    ),
    _row(
        "xl1",
        _extra_large((1, 2, 2, 4, 6, 6), 12),
        203_346_128,
        "10f42277679427c1183dcff19758e536aa86bcc4304e4b387ff48865784be05c",
    ),
)
EFFICIENTVIT_SAM_L0 = ROWS[0]
