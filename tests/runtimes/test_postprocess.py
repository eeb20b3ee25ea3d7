"""Upsampling against torch, which is where upstream's masks come from."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from sam_export.contract import FloatArray, MaskRule, Normalisation, Preprocessing
from sam_export.errors import ContractError
from sam_export.runtimes.postprocess import SINGLE_THREADED, axis_matrices, bands, masks_in_picture, upsample
from sam_export.runtimes.preprocess import fitted_hw


def setting(mask: int, frame: int) -> tuple[Preprocessing, MaskRule]:
    pre = Preprocessing(
        (frame, frame), (frame, frame), "letterbox", "pillow_bilinear", "minimum", Normalisation("min_max")
    )
    return pre, MaskRule((mask, mask), 0, (1, 2, 3), "without_box", 0.0, ("box",))


def upstream(low_res: FloatArray, original_hw: tuple[int, int], frame: int) -> FloatArray:
    """Sam.postprocess_masks in torch."""
    height, width = fitted_hw(original_hw, (frame, frame), "letterbox")
    in_frame = F.interpolate(torch.from_numpy(low_res)[None], (frame, frame), mode="bilinear", align_corners=False)
    cropped = in_frame[..., :height, :width]
    result: FloatArray = F.interpolate(cropped, original_hw, mode="bilinear", align_corners=False)[0].numpy()
    return result


def logits(mask: int, count: int = 2) -> FloatArray:
    return (np.random.default_rng(5).standard_normal((count, mask, mask)) * 8).astype(np.float32)


GEOMETRIES = {
    "LiteMedSAM, as large as the frame": (256, 256, (256, 256)),
    "LiteMedSAM, photograph": (256, 256, (512, 777)),
    "SAM, photograph": (256, 1024, (1080, 1920)),
    "SAM, smaller than the frame": (256, 1024, (300, 451)),
    "SAM, tiny": (256, 1024, (7, 5)),
    "one pixel wide": (256, 1024, (900, 1)),
    "one pixel high": (256, 256, (1, 333)),
    "one pixel": (64, 64, (1, 1)),
    "a line thinner than the frame's pixel": (64, 64, (1, 900)),
    "one cell": (1, 64, (40, 30)),
}


@pytest.mark.parametrize(("mask", "frame", "original_hw"), GEOMETRIES.values(), ids=GEOMETRIES)
def test_upsampling_is_torchs(mask: int, frame: int, original_hw: tuple[int, int]) -> None:
    pre, rule = setting(mask, frame)
    low_res = logits(mask)
    candidate = upsample(low_res, original_hw, pre, rule)
    assert candidate.shape == (2, *original_hw)
    assert candidate.dtype == np.float32
    assert np.abs(candidate - upstream(low_res, original_hw, frame)).max() < 1e-4


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from([(16, 16), (16, 64), (64, 16)]))
def test_upsampling_is_torchs_for_any_size(height: int, width: int, sides: tuple[int, int]) -> None:
    mask, frame = sides
    pre, rule = setting(mask, frame)
    low_res = logits(mask, 1)
    candidate = upsample(low_res, (height, width), pre, rule)
    assert np.abs(candidate - upstream(low_res, (height, width), frame)).max() < 1e-4


def test_stretched_masks_are_not_cropped() -> None:
    pre, rule = setting(16, 64)
    stretched = dataclasses.replace(pre, fit="stretch")
    low_res = np.tile(np.arange(16, dtype=np.float32)[:, np.newaxis], (1, 1, 16))
    candidate = upsample(low_res, (160, 20), stretched, rule)
    assert candidate[0, 0, 0] == 0
    assert candidate[0, -1, 0] == 15


@pytest.mark.parametrize("original_hw", [(160, 20), (1080, 1920), (64, 64)], ids=str)
def test_direct_upsampling_leaves_the_frame_out(original_hw: tuple[int, int]) -> None:
    """As `SAM2Transforms.postprocess_masks`; by way of the frame the logits would differ."""
    pre, rule = setting(64, 256)
    stretched, direct = dataclasses.replace(pre, fit="stretch"), dataclasses.replace(rule, upsampling="direct")
    low_res = logits(64)
    wanted = F.interpolate(torch.from_numpy(low_res)[None], original_hw, mode="bilinear", align_corners=False)[0]
    found = upsample(low_res, original_hw, stretched, direct)
    assert np.abs(found - wanted.numpy()).max() < 1e-4
    assert np.abs(upsample(low_res, original_hw, stretched, rule) - found).max() > 1e-2
    masks = masks_in_picture(low_res, original_hw, stretched, direct)
    assert np.array_equal(masks, found > 0)


@pytest.mark.parametrize("shape", [(64, 64), (1, 64, 32), (1, 1, 64, 64)], ids=str)
def test_logits_of_another_shape(shape: tuple[int, ...]) -> None:
    pre, rule = setting(64, 64)
    with pytest.raises(ContractError, match=r"the mask rule says \[M, 64, 64\]"):
        upsample(np.zeros(shape, np.float32), (5, 5), pre, rule)


def blobs(mask: int, count: int) -> FloatArray:
    """Smooth logits with outlines, whole tiles inside and outside, and numbers next to the threshold."""
    rng = np.random.default_rng(9)
    coarse = torch.from_numpy(rng.standard_normal((1, count, 5, 5)).astype(np.float32) * 8)
    smooth: FloatArray = F.interpolate(coarse, (mask, mask), mode="bicubic", align_corners=False)[0].numpy()
    smooth[0, : mask // 2] = np.float32(1e-7)
    return smooth


@pytest.mark.parametrize("threshold", [0.0, 0.5])
@pytest.mark.parametrize(("mask", "frame", "original_hw"), GEOMETRIES.values(), ids=GEOMETRIES)
def test_masks_are_the_thresholded_logits(
    mask: int, frame: int, original_hw: tuple[int, int], threshold: float
) -> None:
    pre, rule = setting(mask, frame)
    rule = dataclasses.replace(rule, threshold=threshold)
    for low_res in (blobs(mask, 4), logits(mask), np.full((1, mask, mask), threshold, np.float32)):
        expected = upsample(low_res, original_hw, pre, rule) > threshold
        assert np.array_equal(masks_in_picture(low_res, original_hw, pre, rule), expected)


@pytest.mark.parametrize("original_hw", [(40, 60), (128, 128), (256, 256), (512, 512), (1500, 2000), (5000, 90)])
@pytest.mark.parametrize("mask", [64, 256])
def test_no_product_is_large_enough_for_a_second_thread(original_hw: tuple[int, int], mask: int) -> None:
    pre, rule = setting(mask, 4 * mask)
    rows, columns = bands(original_hw, pre, rule)
    for row in rows:
        assert row.weights.size * mask <= SINGLE_THREADED
        assert all(len(row.weights) * column.weights.size <= SINGLE_THREADED for column in columns)


def test_axis_matrices_give_the_same_logits() -> None:
    pre, rule = setting(64, 256)
    rows, columns = axis_matrices((120, 333), pre, rule)
    low_res = logits(64)
    assert np.abs(rows @ low_res @ columns.T - upsample(low_res, (120, 333), pre, rule)).max() < 1e-5
