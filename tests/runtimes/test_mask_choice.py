"""Which mask answers: the tokens of the rule, the fallback of an unstable single mask, and what is fed back."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sam_export.contract import Session, StabilityFallback
from sam_export.runtimes import Segmenter
from sam_export.runtimes.mask_choice import answering_tokens, best_multimask, fed_back, stability

from . import geometric_model as model

FALLBACK = StabilityFallback(delta=0.05, threshold=0.98)
RULE = dataclasses.replace(model.MASK_RULE, stability_fallback=FALLBACK)
IOUS = np.array([[0.9, 0.5, 0.8, 0.7]] * 3, np.float32)


def logits(near_the_edge: int) -> np.ndarray:
    """[4, 10, 20]: of 100 cells above -delta, so many are not above delta."""
    one = np.full((10, 20), -5, np.float32)
    one.flat[:100] = 5
    one.flat[:near_the_edge] = 0
    return np.stack([one, *np.full((3, 10, 20), 1, np.float32)])


def test_an_unstable_single_mask_gives_way_to_the_best_of_the_others() -> None:
    masks = np.stack([logits(0), logits(2), logits(3)])
    assert answering_tokens(masks, IOUS, RULE, multimask_output=False).tolist() == [[0], [0], [2]]
    assert answering_tokens(masks, IOUS, model.MASK_RULE, multimask_output=False).tolist() == [[0]] * 3
    assert answering_tokens(masks, IOUS, RULE, multimask_output=True).tolist() == [[1, 2, 3]] * 3


def test_stability_is_1_for_an_empty_mask_and_0_for_one_that_is_all_edge() -> None:
    empty, edge = np.full((1, 4, 4), -1, np.float32), np.zeros((1, 4, 4), np.float32)
    assert stability(empty, FALLBACK).tolist() == [1]
    assert stability(edge, FALLBACK).tolist() == [0]


def test_a_predicted_iou_that_is_no_number_never_wins() -> None:
    assert best_multimask(np.array([[0.9, np.nan, 0.1, -0.2]], np.float32), RULE).tolist() == [2]


def test_what_is_fed_back_is_clipped_only_where_the_rule_says_so() -> None:
    wide = np.array([-100, 3, 100], np.float32)
    assert fed_back(wide, RULE) is wide
    assert fed_back(wide, dataclasses.replace(RULE, low_res_limit=32.0)).tolist() == [-32, 3, 32]


@pytest.mark.parametrize(("threshold", "token"), [(0.0, 0), (1.0, 2)], ids=["stable", "unstable"])
def test_the_segmenter_follows_the_fallback(
    sessions: dict[str, Session], picture: np.ndarray, threshold: float, token: int
) -> None:
    """Edges of the geometric model fall by 2 a cell, so with a delta of 10 every mask is unstable."""
    rule = dataclasses.replace(RULE, stability_fallback=StabilityFallback(10.0, threshold), low_res_limit=4.0)
    segmenter = Segmenter(sessions, model.PREPROCESSING, rule)
    segmenter.set_image(picture)
    masks, iou_predictions, low_res_masks = segmenter.predict(box=(10, 10, 90, 50), multimask_output=False)
    plain = Segmenter(sessions, model.PREPROCESSING, model.MASK_RULE)
    plain.set_image(picture)
    every = [plain.predict(box=(10, 10, 90, 50), multimask_output=flag) for flag in (False, True)]
    expected = np.concatenate([answer.masks for answer in every])[token]
    assert iou_predictions.tolist() == [np.float32(model.IOU_PREDICTIONS[token])]
    np.testing.assert_array_equal(masks[0], expected)
    assert np.abs(low_res_masks).max() == 4
