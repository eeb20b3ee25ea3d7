"""Which numbers a manifest may hold: those that no model has would take all memory, or fail far from their cause.

The web package holds to the same limits, `runtimes/web/src/manifest.ts`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from .contract import MaskRule, Preprocessing

MAX_SIDE = 8192
MAX_TOKENS = 64
MAX_POINTS = 4096


def impossible_numbers(preprocessing: Preprocessing, rule: MaskRule) -> Iterator[str]:
    """Yield what is wrong with each number that no model has."""
    frames = {"image_hw": preprocessing.image_hw, "prompt_frame_hw": preprocessing.prompt_frame_hw}
    for name, sides in {**frames, "mask_hw": rule.mask_hw}.items():
        yield from _outside(name, sides, 1, MAX_SIDE)
    yield from _outside("single_mask_token", (rule.single_mask_token,), 0, MAX_TOKENS)
    yield from _outside("multimask_tokens", rule.multimask_tokens, 0, MAX_TOKENS)
    yield from _outside("point_slots", () if rule.point_slots is None else (rule.point_slots,), 1, MAX_POINTS)
    if len(rule.multimask_tokens) > MAX_TOKENS:
        yield f"{len(rule.multimask_tokens)} multimask_tokens, at most {MAX_TOKENS}"
    if rule.stability_fallback is not None and not rule.multimask_tokens:
        yield "a stability_fallback without multimask_tokens to fall back on"
    if preprocessing.padding == "mean" and preprocessing.normalisation.mean is None:
        yield "padding 'mean' without a mean colour"
    limits = (rule.threshold, 0.0 if rule.low_res_limit is None else rule.low_res_limit)
    if not all(map(math.isfinite, limits)) or limits[1] < 0:
        yield f"threshold and low_res_limit {limits}, allowed: finite numbers, the second not below 0"


def _outside(name: str, given: tuple[int, ...], least: int, most: int) -> Iterator[str]:
    if not all(least <= number <= most for number in given):
        yield f"{name} {given}, allowed: whole numbers from {least} to {most}"
