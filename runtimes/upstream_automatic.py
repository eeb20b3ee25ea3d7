"""Upstream's mask generators over a bundle; `upstream` offers them beside the predictors.

Both are the `AutomaticMaskGenerator` with upstream's order of arguments and its defaults, save that points go through
the decoder in the batches that are fast here. Sources: `automatic_mask_generator.py` (facebookresearch/segment-anything
and facebookresearch/sam2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack, cast

from .automatic import AutomaticMaskGenerator
from .automatic_options import GeneratorKeywords
from .upstream_open import Model, check_device, segmenter_of, without_fallback

SAM_ORDER = (
    "points_per_side",
    "points_per_batch",
    "pred_iou_thresh",
    "stability_score_thresh",
    "stability_score_offset",
    "box_nms_thresh",
    "crop_n_layers",
    "crop_nms_thresh",
    "crop_overlap_ratio",
    "crop_n_points_downscale_factor",
    "point_grids",
    "min_mask_region_area",
    "output_mode",
)
SAM2_ORDER = (*SAM_ORDER[:5], "mask_threshold", *SAM_ORDER[5:], "use_m2m", "multimask_output")
SAM2_DEFAULTS: GeneratorKeywords = {"pred_iou_thresh": 0.8, "mask_threshold": 0.0}


class SamAutomaticMaskGenerator(AutomaticMaskGenerator):
    """Upstream's generator of the first generation. Takes a `Sam`, a `Segmenter`, or the path of a bundle.

    Args:
        in_order, keywords: those of `GeneratorOptions`, by upstream's order or by name.

    Raises:
        RequestError: an option that makes no sense; the text says what is allowed.
    """

    def __init__(self, model: Model, *in_order: Any, **keywords: Unpack[GeneratorKeywords]) -> None:
        super().__init__(segmenter_of(model), **_named(SAM_ORDER, in_order, keywords))


class SAM2AutomaticMaskGenerator(AutomaticMaskGenerator):
    """Upstream's generator of the second generation. Takes a `Segmenter`, or the path of a bundle.

    Args:
        in_order, keywords: those of `GeneratorOptions`, by upstream's order or by name.

    Raises:
        RequestError: an option that makes no sense; the text says what is allowed.
    """

    def __init__(self, model: Model, *in_order: Any, **keywords: Unpack[GeneratorKeywords]) -> None:
        super().__init__(segmenter_of(model), **_named(SAM2_ORDER, in_order, keywords, SAM2_DEFAULTS))

    @classmethod
    def from_pretrained(
        cls,
        model_id: Model,
        *,
        device: object = "cpu",
        apply_postprocessing: bool = True,
        **keywords: Unpack[GeneratorKeywords],
    ) -> SAM2AutomaticMaskGenerator:
        """Return a generator over the bundle at that path; `apply_postprocessing` as `build_sam2`.

        Raises:
            UnsupportedError: another device than the CPU.
            RequestError: as the class.
        """
        check_device(device)
        segmenter = segmenter_of(model_id)
        return cls(segmenter if apply_postprocessing else without_fallback(segmenter), **keywords)


def _named(
    order: Sequence[str],
    in_order: Sequence[object],
    keywords: GeneratorKeywords,
    defaults: GeneratorKeywords | None = None,
) -> GeneratorKeywords:
    """Return all options by name.

    Raises:
        TypeError: more than there are, or one given twice, as any call says it.
    """
    if len(in_order) > len(order):
        raise TypeError(f"mask generator: {len(in_order)} options in order, at most {len(order)}: {', '.join(order)}")
    named = dict(zip(order, in_order, strict=False))
    twice = named.keys() & keywords.keys()
    if twice:
        raise TypeError(f"mask generator: {', '.join(sorted(twice))} given in order and by name; give each once")
    return cast(GeneratorKeywords, {**(defaults or {}), **named, **keywords})
