"""Sizes, pixels and points against upstream's own arithmetic."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sam_export.contract import Normalisation, Preprocessing
from sam_export.errors import ContractError
from sam_export.runtimes.preprocess import fitted_hw, prepare_image, to_prompt_frame

MIN_MAX = Preprocessing((64, 64), (64, 64), "letterbox", "pillow_bilinear", "minimum", Normalisation("min_max"))
MEAN = (123.675, 116.28, 103.53)
MEAN_STD = dataclasses.replace(
    MIN_MAX, padding="mean", normalisation=Normalisation("mean_std", MEAN, (58.395, 57.12, 57.375))
)
SIDES = st.integers(1, 9000)


@given(height=SIDES, width=SIDES, frame=st.sampled_from([64, 256, 1024]))
def test_letterbox_size_is_upstreams_but_never_zero(height: int, width: int, frame: int) -> None:
    scale = frame * 1.0 / max(height, width)  # ResizeLongestSide.get_preprocess_shape
    upstream = int(height * scale + 0.5), int(width * scale + 0.5)
    fitted = fitted_hw((height, width), (frame, frame), "letterbox")
    assert fitted == (max(1, upstream[0]), max(1, upstream[1]))
    assert max(fitted) == frame


def test_stretch_fills_the_frame() -> None:
    assert fitted_hw((3, 500), (64, 32), "stretch") == (64, 32)


@pytest.mark.parametrize("shape", [(50, 100), (100, 37), (64, 64), (200, 1), (1, 200), (1, 1)], ids=str)
@pytest.mark.parametrize("pre", [MIN_MAX, MEAN_STD], ids=["minimum", "mean"])
def test_picture_is_resized_on_uint8_and_padded_right_and_bottom(shape: tuple[int, int], pre: Preprocessing) -> None:
    image = np.random.default_rng(0).integers(9, 250, (*shape, 3), np.uint8)
    prepared = prepare_image(image, pre)
    height, width = prepared.resized_hw
    columns_done = Image.fromarray(image).resize((width, shape[0]), Image.Resampling.BILINEAR)
    resized = np.asarray(columns_done.resize((width, height), Image.Resampling.BILINEAR))
    assert prepared.tensor.shape == (1, 3, 64, 64)
    assert prepared.tensor.dtype == np.float32
    assert prepared.original_hw == shape
    inside = prepared.tensor[0, :, :height, :width]
    assert np.array_equal(inside, resized.transpose(2, 0, 1))
    expected = np.float32(MEAN) if pre is MEAN_STD else np.full(3, resized.min(), np.float32)
    outside = np.ones((64, 64), bool)
    outside[:height, :width] = False
    assert (prepared.tensor[0][:, outside] == expected[:, np.newaxis]).all()


def test_mean_padding_needs_a_mean() -> None:
    broken = dataclasses.replace(MIN_MAX, padding="mean")
    with pytest.raises(ContractError, match="needs a normalisation with a mean"):
        prepare_image(np.zeros((2, 2, 3), np.uint8), broken)


def test_points_follow_the_resized_picture() -> None:
    prepared = prepare_image(np.zeros((333, 1000, 3), np.uint8), MIN_MAX)
    assert prepared.resized_hw == (21, 64)
    points = to_prompt_frame(np.array([[[1000, 333], [0, 0], [500, 100]]]), (333, 1000), MIN_MAX)
    assert points.dtype == np.float32
    assert np.allclose(points, [[[64, 21], [0, 0], [32, 100 * 21 / 333]]])


def test_prompts_may_have_a_frame_of_their_own() -> None:
    pre = dataclasses.replace(MIN_MAX, prompt_frame_hw=(128, 128))
    assert np.allclose(to_prompt_frame(np.array([64, 32]), (32, 64), pre), [128, 64])
